/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Calls of the API, and what its problems mean to people. */

const KEPT = 'relay-token'; // in sessionStorage: this tab's, and gone with it

export const token = {
    get: () => sessionStorage.getItem(KEPT),
    set: text => sessionStorage.setItem(KEPT, text),
    forget: () => sessionStorage.removeItem(KEPT),
};

/* The server's clock less this one, in ms: lifetimes are the server's. */
let ahead = 0;

export const now = () => Date.now() + ahead;

const WORDS = {
    0: 'The relay cannot be reached. Are you online?',
    400: 'The relay does not take that.',
    401: 'Please sign in: this token has ended, was revoked, or is not typed as it was given.',
    403: 'You may not do that.',
    404: 'There is no such tunnel any more.',
    409: 'The relay refuses that.',
    410: 'This tunnel has ended already.',
    422: 'Something is not right yet.',
    429: 'That was too much at once.',
    500: 'Something is wrong at the relay; its administrators can tell what.',
    503: 'The relay cannot do that at this moment.',
};
const AWAY = 'You are not signed in any more: load this page again.';
const TELL_DETAIL = [400, 403, 409, 422];

/* What went wrong. message is for people; member names the field, retry the seconds to wait. */
export class Problem extends Error {
    constructor(status, said = {}, retry = 0) {
        const detail = typeof said.detail === 'string' ? said.detail : '';
        const words = [WORDS[status] ?? `The relay answered ${status}.`];

        if (TELL_DETAIL.includes(status) && detail)
            words.push(`${detail[0].toUpperCase()}${detail.slice(1)}.`);
        if (status === 503 && detail.startsWith('not confirmed'))
            words[0] = 'It was done, but is not confirmed yet, and may still be undone.';
        if (status === 429 && retry)
            words.push(`It goes on in ${retry} s.`);
        super(words.join(' '));
        Object.assign(this, {status, retry, member: said.member, request: said.request});
    }

    /* Whether asking again may help, the same way. */
    get passes() {
        return this.status === 0 || this.status === 503 || this.status === 429;
    }
}

const signedOut = () => Object.assign(new Problem(401), {message: AWAY, away: true});

async function problemOf(answer) {
    const retry = Math.min(Number(answer.headers.get('Retry-After')) || 0, 120);
    let said = {};

    try {
        said = await answer.json();
    } catch {
        // a proxy's page, say
    }
    // httpd's own login says it, and not the API.
    return answer.status === 401 && !said?.tag ? signedOut() :
        new Problem(answer.status, said ?? {}, retry);
}

/* One call; the JSON of its answer, or null where it has none. Throws a Problem. */
export async function call(method, path, {body, once} = {}) {
    const headers = {Accept: 'application/json'}, mine = token.get();
    let answer;

    if (mine)
        headers.Authorization = `Bearer ${mine}`;
    if (body !== undefined)
        headers['Content-Type'] = 'application/json';
    if (once)
        headers['Idempotency-Key'] = once;
    try {
        // Without a token httpd's own login counts; one that has ended redirects to its provider.
        answer = await fetch(path, {
            method, headers, redirect: 'manual', cache: 'no-store',
            body: body === undefined ? undefined : JSON.stringify(body),
            credentials: mine ? 'omit' : 'same-origin',
        });
    } catch {
        throw new Problem(0);
    }
    if (answer.type === 'opaqueredirect')
        throw signedOut();
    ahead = (Date.parse(answer.headers.get('Date')) || Date.now()) - Date.now();
    if (!answer.ok)
        throw await problemOf(answer);
    return answer.status === 204 ? null : answer.json();
}

/* The same again under its Idempotency-Key while the relay says "not now", twice in all. */
export async function insist(method, path, options) {
    for (let tries = 1; ; tries++) {
        try {
            return await call(method, path, options);
        } catch (problem) {
            if (!problem.passes || problem.status === 429 || tries === 2)
                throw problem;
            await new Promise(done => setTimeout(done, 1000 * Math.max(problem.retry, 0.5)));
        }
    }
}

const SPANS = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];

/* A time that is left, in its two largest units: `1 h 59 min'. */
export function left(expires) {
    let rest = Math.floor((Date.parse(expires) - now()) / 1000);

    if (!(rest > 0))
        return 'ended';
    const first = SPANS.findIndex(([, seconds]) => rest >= seconds), words = [];
    for (const [unit, seconds] of SPANS.slice(first, first + 2)) {
        words.push(`${Math.floor(rest / seconds)} ${unit}`);
        rest %= seconds;
    }
    return words.join(' ');
}
