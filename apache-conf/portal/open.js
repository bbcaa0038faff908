/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The dialog that opens a tunnel, and then shows what the device has to do. */

import {call, insist, left} from './api.js';
import {canMake, commands, make} from './key.js';
import {at, fillRoutes, say} from './page.js';

/* What was sent and not answered yet: asked again, it is the same request. */
let pending = null;
let shown = null; // the tunnel that was opened
let watching = 0;

const FIELDS = {
    services: 'services', public_key: 'public-key', ttl: 'ttl', names: 'name', tenant: 'tenant',
    host: 'host', device: 'device',
};

function bodyOf(publicKey) {
    const body = {
        services: at('services').value.trim().split(/\s+/), public_key: publicKey,
        ttl: at('ttl').value,
    };

    for (const [member, field] of [['device', 'device'], ['tenant', 'tenant']])
        if (at(field).value.trim())
            body[member] = at(field).value.trim();
    if (at('name').value.trim())
        body.names = [at('name').value.trim()];
    if (at('host').checked)
        body.host = 'device';
    if (at('tls').checked)
        body.tls = true;
    if (at('take-over').checked)
        body.take_over = true;
    return body;
}

async function newRequest() {
    const pair = at('make').checked ? await make() : null;

    return {
        body: bodyOf(pair ? pair.publicKey : at('public-key').value.trim()),
        privateKey: pair && pair.privateKey, once: crypto.randomUUID(),
    };
}

function complain(problem) {
    const field = FIELDS[String(problem.member ?? '').split('.')[0]];

    say(at('open-notice'), problem);
    if (problem.passes)
        at('open-go').textContent = 'Ask again';
    else
        pending = null;
    if (field) {
        at(field).classList.add('wrong');
        at(field).closest('details')?.setAttribute('open', '');
        at(field).focus();
    }
}

function changed() {
    pending = null;
    at('open-go').textContent = 'Connect';
    for (const field of document.querySelectorAll('#open .wrong'))
        field.classList.remove('wrong');
}

async function submit(event) {
    event.preventDefault();
    at('open-go').disabled = true;
    say(at('open-notice'), null);
    try {
        pending ??= await newRequest();
        const opened = await insist('POST', '/v1/tunnels', pending);
        show(opened, pending.privateKey);
        changed();
    } catch (problem) {
        complain(problem);
    } finally {
        at('open-go').disabled = false;
    }
}

/* ---- it is open */

const texts = {
    key: 'Type this on the device, or save it there as a file and run it with sh. It holds the ' +
        'private key, which exists nowhere else.',
    own: 'Type this on the device. ssh uses the key that the device has.',
};

function show(opened, privateKey) {
    shown = opened;
    fillRoutes(at('opened-routes'), opened.routes);
    at('opened-warnings').replaceChildren(...opened.warnings.map(text => {
        const item = document.createElement('li');
        item.textContent = text;
        return item;
    }));
    at('opened-warnings').hidden = !opened.warnings.length;
    at('opened-how').textContent = privateKey ? texts.key : texts.own;
    at('opened-command').textContent = commands(opened, privateKey);
    at('opened-state').textContent = 'Waiting for the device.';
    at('opened-state').className = '';
    at('opened-copy').textContent = 'Copy';
    at('open').hidden = true;
    at('opened').hidden = false;
    at('opening').setAttribute('closedby', 'none');
    tick();
    at('opened-title').focus();
    watch();
}

/* Looks each second whether the device has connected. */
async function watch() {
    const turn = ++watching, id = shown.id;

    while (turn === watching && at('opening').open) {
        try {
            const tunnel = await call('GET', `/v1/tunnels/${encodeURIComponent(id)}`);
            const up = tunnel.routes.every(route => route.connected);

            if (turn !== watching)
                return;
            at('opened-state').textContent =
                tunnel.state !== 'open' ? 'It has ended.' :
                up ? 'The device is connected.' : 'Waiting for the device.';
            at('opened-state').className = up ? 'up' : '';
        } catch (problem) {
            if (!problem.passes)
                return;
        }
        await new Promise(done => setTimeout(done, 1000));
    }
}

export function tick() {
    if (shown)
        at('opened-ends').textContent = left(shown.expires);
}

async function copy() {
    const command = at('opened-command');

    try {
        await navigator.clipboard.writeText(command.textContent);
        at('opened-copy').textContent = 'Copied';
    } catch {
        getSelection().selectAllChildren(command); // then by hand
    }
}

function save() {
    const link = document.createElement('a');

    link.href = URL.createObjectURL(new Blob([at('opened-command').textContent]));
    link.download = `relay-${shown.id}.sh`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* ---- the dialog */

export function open() {
    changed();
    say(at('open-notice'), null);
    at('open').hidden = false;
    at('opened').hidden = true;
    at('opening').setAttribute('closedby', 'closerequest');
    at('opening').showModal();
    at('device').focus();
}

function end() {
    watching++;
    shown = null;
    at('opened-command').textContent = '';
    at('opening').close();
}

/* @param done called when the dialog was closed */
export async function prepare(done) {
    at('open').addEventListener('submit', submit);
    at('open').addEventListener('input', changed);
    at('open').addEventListener('change', () => {
        at('public-key').hidden = at('make').checked;
        at('public-key').required = at('bring').checked;
    });
    at('open-cancel').addEventListener('click', end);
    at('opened-copy').addEventListener('click', copy);
    at('opened-save').addEventListener('click', save);
    at('opened-done').addEventListener('click', end);
    // Escape does not throw the only copy of a key away; `closedby' is for browsers that do not ask
    // twice.
    at('opening').addEventListener('cancel', event => {
        if (!at('opened').hidden)
            event.preventDefault();
    });
    at('opening').addEventListener('close', done);
    if (!await canMake()) {
        at('make').disabled = true;
        at('cannot-make').hidden = false;
        at('bring').checked = true;
        at('open').dispatchEvent(new Event('change'));
    }
}
