/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <string.h>

#include "authkeys.h"

/* The types that `rly open -k` accepts; sshd never asks for others with sshd-conf's
 * PubkeyAcceptedAlgorithms. */
static const char *const key_types[] = {"ssh-ed25519",
                                        "ecdsa-sha2-nistp256",
                                        "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521",
                                        "ssh-rsa",
                                        "sk-ssh-ed25519@openssh.com",
                                        "sk-ecdsa-sha2-nistp256@openssh.com",
                                        NULL};

#define BASE64_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* Base64 as sshd's %k is: whole quartets, padding at the end only, nothing else. */
static int is_base64(const char *text)
{
    size_t len = strlen(text), body = strspn(text, BASE64_CHARS);

    return len > 0 && len % 4 == 0 && len - body <= 2 && strspn(text + body, "=") == len - body;
}

apr_status_t authkeys_request_check(const authkeys_request *req, apr_pool_t *p, const char **why)
{
    const char *const *type;

    /* Nothing of a field that failed is quoted: what a stranger sent stays out of the log. */
    if (!*req->user) {
        RELAY_WHY(why, p, "the login name is empty");
        return RELAY_EINPUT;
    }
    if (!relay_fingerprint_is_valid(req->fingerprint)) {
        RELAY_WHY(
            why, p,
            "the second argument is not a SHA256 fingerprint; sshd_config needs `FingerprintHash "
            "sha256`, and %%f in AuthorizedKeysCommand");
        return RELAY_EINPUT;
    }
    for (type = key_types; *type && strcmp(*type, req->type); type++)
        ;
    if (!*type) {
        RELAY_WHY(why, p,
                  "key %s: a tunnel's key cannot be of its type (sshd_config's "
                  "PubkeyAcceptedAlgorithms should keep such keys away)",
                  req->fingerprint);
        return RELAY_EINPUT;
    }
    /* The fingerprint is not computed again from the blob. sshd makes both from the one key
     * the client offered, and compares the key that is printed with that key itself
     * (auth2-pubkeyfile.c, auth_check_authkey_line): a caller that lies about one of them gains
     * nothing by it. Hashing would take libcrypto, which costs half as much again as all the rest
     * of this program, twice for every login. */
    if (strlen(req->blob) > AUTHKEYS_BLOB_MAX || !is_base64(req->blob)) {
        RELAY_WHY(why, p, "key %s: the last argument is not a public key in base64 (%%k)",
                  req->fingerprint);
        return RELAY_EINPUT;
    }
    return APR_SUCCESS;
}

apr_status_t authkeys_grant_find(relay_grant *grant, relay_store *store, const relay_config *cfg,
                                 const char *fingerprint, apr_pool_t *p, const char **why)
{
    apr_status_t rv;
    int i;

    memset(grant, 0, sizeof(*grant));
    rv = relay_grant_find(grant, store, fingerprint, p, why);
    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(grant->relay, cfg->name)) {
        RELAY_WHY(why, p, "tunnel %s: its relay is %s, this one is %s", grant->tunnel, grant->relay,
                  cfg->name);
        return RELAY_EREFUSED;
    }
    if (grant->naddrs < 1) {
        RELAY_WHY(why, p, "tunnel %s: its grant has no listen address", grant->tunnel);
        return RELAY_ERECORD;
    }
    for (i = 0; i < grant->naddrs; i++) {
        if (!relay_listen_contains(cfg->listen, grant->addrs[i])) {
            RELAY_WHY(why, p,
                      "tunnel %s: its listen address %s is outside this relay's listen space %s",
                      grant->tunnel, relay_listen_addr_print(grant->addrs[i], p),
                      cfg->listen->text);
            return RELAY_ERECORD;
        }
    }
    return APR_SUCCESS;
}

const char *authkeys_options(const relay_grant *grant, int loopback_only, apr_pool_t *p)
{
    const char *options = "restrict,port-forwarding";
    int i;

    /* sshd compares the address a client asks for with these as text (channels.c,
     * remote_open_match). For an address of its own a tunnel has one spelling. For 127.0.0.1
     * clients have three: OpenSSH and PuTTY say `localhost` when they were given a port only;
     * others say 127.0.0.1; some say nothing. `localhost` is bound on loopback whatever
     * GatewayPorts is, the empty address only under `GatewayPorts no` (channel_fwd_bind_addr): else
     * it is every interface of this host. So it is granted only where sshd's configuration vouches
     * for that with -l. */
    for (i = 0; i < grant->naddrs; i++) {
        options = apr_pstrcat(p, options, ",permitlisten=\"",
                              relay_listen_addr_print(grant->addrs[i], p), "\"", NULL);
        if (grant->addrs[i].ip == 0x7f000001) {
            options =
                apr_psprintf(p, "%s,permitlisten=\"localhost:%d\"", options, grant->addrs[i].port);
            if (loopback_only)
                options = apr_psprintf(p, "%s,permitlisten=\":%d\"", options, grant->addrs[i].port);
        }
    }
    return options;
}
