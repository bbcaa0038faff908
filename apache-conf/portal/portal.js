/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The list of tunnels: filtered, page by page, counting down; extended and closed. */

import {call, left, token} from './api.js';
import {open, prepare, tick as tickOpened} from './open.js';
import {at, fillRoutes, say} from './page.js';

const FRESH = 15000; // ms after which the list is asked for again
const PAGE = 25;

let cursors = ['']; // of the pages up to this one
let next = null;
let wanted = {};    // the filter
let turn = 0;       // answers of an earlier one come too late
let due = 0;        // when the list is asked for again

const called = tunnel => tunnel.device || tunnel.routes[0]?.name || tunnel.id;

/* ---- a row */

const rows = new Map(); // tunnel's id → {row, said}

function stateOf(tunnel) {
    const known = tunnel.routes.filter(route => route.connected !== null);

    if (!known.length)
        return ['', 'not known'];
    return known.every(route => route.connected) ? ['up', 'connected'] : ['down', 'not connected'];
}

function fill(row, tunnel) {
    const device = row.querySelector('.device'), state = row.querySelector('.state');
    const about = [tunnel.tenant, tunnel.relay].filter(Boolean).join(' · ');
    const small = document.createElement('small'), name = called(tunnel);

    small.textContent = about;
    device.replaceChildren(name, small);
    fillRoutes(row.querySelector('.routes'), tunnel.routes);
    [state.className, state.textContent] = stateOf(tunnel);
    state.classList.add('state');
    row.querySelector('time').dateTime = tunnel.expires;
    row.querySelector('time').title = new Date(tunnel.expires).toLocaleString();
    row.querySelector('.extend').setAttribute('aria-label', `Extend ${name}`);
    row.querySelector('.close').setAttribute('aria-label', `Close ${name}`);
}

function rowOf(tunnel) {
    const said = JSON.stringify(tunnel);
    let known = rows.get(tunnel.id);

    if (!known) {
        known = {row: at('row').content.firstElementChild.cloneNode(true)};
        known.row.querySelector('.extend').addEventListener('click', () => extend(tunnel));
        known.row.querySelector('.close').addEventListener('click', () => close(tunnel));
        rows.set(tunnel.id, known);
    }
    if (known.said !== said)
        fill(known.row, tunnel);
    known.said = said;
    return known.row;
}

/* ---- the list */

function fillList(tunnels) {
    const before = [...at('rows').children], fresh = tunnels.map(rowOf);
    const focused = document.activeElement;

    // Rows that stay are left where they are, with the focus in them.
    if (before.length !== fresh.length || before.some((row, i) => row !== fresh[i])) {
        at('rows').replaceChildren(...fresh);
        focused?.focus();
    }
    for (const [id, {row}] of rows)
        if (!row.isConnected)
            rows.delete(id);
    at('rows').parentElement.hidden = !tunnels.length;
    at('empty').hidden = tunnels.length > 0;
    at('empty').textContent = Object.keys(wanted).length ? 'No open tunnel is like that.' :
        'No tunnel is open. Connect a device to see it here.';
    at('before').disabled = cursors.length === 1;
    at('next').disabled = !next;
    at('before').parentElement.hidden = cursors.length === 1 && !next;
    tick();
}

function signedIn(yes) {
    at('sign-in').hidden = yes;
    at('list').hidden = at('connect').hidden = !yes;
    at('leave').hidden = !yes || !token.get();
}

function signIn(problem) {
    const had = token.get();

    token.forget();
    rows.clear();
    at('rows').replaceChildren();
    signedIn(false);
    say(at('notice'), had || problem?.away ? problem : null);
    at('token').focus();
}

async function load() {
    const mine = ++turn, query = new URLSearchParams({...wanted, limit: PAGE});

    if (cursors.at(-1))
        query.set('cursor', cursors.at(-1));
    due = Date.now() + FRESH;
    try {
        const page = await call('GET', `/v1/tunnels?${query}`);

        if (mine !== turn)
            return;
        next = page.next;
        signedIn(true);
        say(at('notice'), null);
        fillList(page.tunnels);
    } catch (problem) {
        if (mine !== turn)
            return;
        if (problem.status === 401)
            return signIn(problem);
        signedIn(true);
        say(at('notice'), problem);
        if (problem.retry)
            due = Date.now() + 1000 * problem.retry;
    }
}

function tick() {
    for (const {row} of rows.values()) {
        const time = row.querySelector('time'), text = left(time.dateTime);

        if (time.textContent !== text) {
            time.textContent = text;
            time.classList.toggle('soon', !/[dh] |[dh]$|\d\d min/.test(text));
        }
    }
    tickOpened();
    if (Date.now() >= due && !document.hidden && !at('list').hidden)
        load();
}

/* ---- what is done with one */

function ask(title, text, go, withTtl) {
    const dialog = at('asking');

    at('asking-title').textContent = title;
    at('asking-text').textContent = text;
    at('asking-ttl').hidden = !withTtl;
    at('asking-go').textContent = go;
    dialog.returnValue = '';
    dialog.showModal();
    return new Promise(done => dialog.addEventListener('close', () => {
        done(dialog.returnValue === 'go' && dialog.querySelector('select').value);
    }, {once: true}));
}

/* What is said of it stays until the list is asked for again. */
async function change(method, tunnel, body, done) {
    try {
        await call(method, `/v1/tunnels/${encodeURIComponent(tunnel.id)}`, {body});
        await load();
        say(at('notice'), done);
    } catch (problem) {
        if (problem.status === 401)
            return signIn(problem);
        if (!problem.passes)
            await load();
        say(at('notice'), problem);
    }
}

async function extend(tunnel) {
    const ttl = await ask(`Extend ${called(tunnel)}`, '', 'Extend', true);

    if (ttl)
        change('PATCH', tunnel, {ttl}, `${called(tunnel)} goes on.`);
}

async function close(tunnel) {
    if (await ask(`Close ${called(tunnel)}?`,
                  'Its address stops at once, and its key opens nothing any more.', 'Close', false))
        change('DELETE', tunnel, undefined, `${called(tunnel)} is closed.`);
}

/* ---- the page */

function filter(form) {
    wanted = Object.fromEntries([...new FormData(form)].map(([name, value]) =>
        [name, value.trim()]).filter(([, value]) => value));
    cursors = [''];
    load();
}

at('sign-in').addEventListener('submit', event => {
    event.preventDefault();
    token.set(at('token').value.trim());
    at('token').value = '';
    load();
});
at('leave').addEventListener('click', () => {
    token.forget();
    signIn(null);
});
at('filter').addEventListener('submit', event => {
    event.preventDefault();
    filter(event.target);
});
at('filter').addEventListener('reset', event => setTimeout(filter, 0, event.target));
at('before').addEventListener('click', () => {
    cursors.pop();
    load();
});
at('next').addEventListener('click', () => {
    cursors.push(next);
    load();
});
at('connect').addEventListener('click', open);
prepare(load);
setInterval(tick, 1000);
load();
