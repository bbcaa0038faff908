/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A device's key pair, made in the browser, in OpenSSH's forms; and what the device then types. */

const TYPE = 'ssh-ed25519';

export async function canMake() {
    try {
        await crypto.subtle.generateKey('Ed25519', true, ['sign']);
        return true;
    } catch {
        return false;
    }
}

const bytesOf = text => new TextEncoder().encode(text);

function joined(...parts) {
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;

    for (const part of parts) {
        all.set(part, at);
        at += part.length;
    }
    return all;
}

const number = n => new Uint8Array([n >>> 24, n >>> 16, n >>> 8, n]);

/* A string of the SSH protocol (RFC 4251, 5): its length before it. */
const string = bytes => joined(number(bytes.length), bytes);

const base64 = bytes => btoa(String.fromCharCode(...bytes));

/* PROTOCOL.key of OpenSSH, without a passphrase. */
function privateText(seed, publicBytes, blob) {
    const check = crypto.getRandomValues(new Uint8Array(4));
    const inner = joined(check, check, string(bytesOf(TYPE)), string(publicBytes),
                         string(joined(seed, publicBytes)), string(bytesOf('')));
    const padding = Uint8Array.from({length: (8 - inner.length % 8) % 8}, (_, i) => i + 1);
    const all = joined(bytesOf('openssh-key-v1\0'), string(bytesOf('none')),
                       string(bytesOf('none')), string(bytesOf('')), number(1), string(blob),
                       string(joined(inner, padding)));
    const lines = base64(all).match(/.{1,70}/g).join('\n');

    return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/* {publicKey, privateKey}: lines as ssh-keygen writes them. */
export async function make() {
    const pair = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
    const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    // RFC 8410: the seed is the last 32 bytes.
    const seed = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey)).slice(-32);
    const blob = joined(string(bytesOf(TYPE)), string(raw));

    return {publicKey: `${TYPE} ${base64(blob)}`, privateKey: privateText(seed, raw, blob)};
}

const here = (path, text) => `cat >${path} <<'END'\n${text.trimEnd()}\nEND\n`;

/* What is typed on a device. privateKey: null where the device has its own. */
export function commands(opened, privateKey) {
    const {host, port, command, host_keys: keys} = opened.ssh, folder = `relay-${opened.id}`;
    const where = port === 22 ? host : `[${host}]:${port}`;
    const options = [
        '-F none', ...(privateKey ? [`-i ${folder}/key`, '-o IdentitiesOnly=yes'] : []),
        `-o UserKnownHostsFile=${folder}/known_hosts`, '-o GlobalKnownHostsFile=/dev/null',
        '-o StrictHostKeyChecking=yes', '-o ServerAliveInterval=27', '-o ServerAliveCountMax=2',
    ];

    return [
        `mkdir -m 700 ${folder}\n`,
        here(`${folder}/known_hosts`, keys.map(key => `${where} ${key}`).join('\n')),
        privateKey ? here(`${folder}/key`, privateKey) + `chmod 600 ${folder}/key\n` : '',
        command.replace(/^ssh /, `ssh ${options.join(' ')} `), '\n',
    ].join('');
}
