/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sshconfig.h"
#include "describe.h"
#include "relay_text.h"

#include <string.h>

const char *rly_sshconfig_path(const char *path, apr_pool_t *p, const char **why)
{
    char *out, *to;

    /* ssh replaces ${…} by the environment, and knows no way to write it literally. */
    if (strstr(path, "${")) {
        RELAY_WHY(why, p, "%s: ssh cannot use a path with `${' in its configuration; choose another", path);
        return NULL;
    }
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            RELAY_WHY(why, p, "%s: ssh cannot use a path with line ends or control characters in its configuration; "
                              "choose another",
                      path);
            return NULL;
        }
    if (!relay_text_is_utf8(path)) {
        RELAY_WHY(why, p, "%s: the path is not UTF-8; choose another", path);
        return NULL;
    }
    to = out = apr_palloc(p, strlen(path) * 2 + 3);
    *to++ = '"';
    for (; *path; path++) {
        if (*path == '"' || *path == '\\') /* argv_split() in OpenSSH's misc.c */
            *to++ = '\\';
        if (*path == '%') /* percent_expand() there */
            *to++ = '%';
        *to++ = *path;
    }
    *to++ = '"';
    *to = '\0';
    return out;
}

static const char *identity(const char *dir, const char *private_file, int own_key, apr_pool_t *p)
{
    const char *hint = "    # The device's own private key: as id_relay in this folder, or in its ssh agent.\n";
    const char *text = own_key ? "" : hint;

    if (private_file)
        text = apr_pstrcat(p, text, "    IdentityFile ", private_file, "\n", NULL);
    return apr_pstrcat(p, text, "    IdentityFile ",
                       rly_sshconfig_path(apr_pstrcat(p, dir, "/id_relay", NULL), p, NULL),
                       "\n    IdentityFile id_relay\n", own_key ? "    BatchMode yes\n" : "", NULL);
}

const char *rly_sshconfig_text(const relay_config *cfg, const relay_tunnel *t, const char *dir,
                               const char *private_file, int own_key, apr_pool_t *p, const char **why)
{
    const char *forwards = "", *forward;

    for (int i = 0; i < t->nroutes; i++) {
        if ((forward = rly_route_forward(&t->routes[i], " ", p)) == NULL) {
            RELAY_WHY(why, p, "the service %s cannot be written for ssh", t->routes[i].service);
            return NULL;
        }
        forwards = apr_pstrcat(p, forwards, "    RemoteForward ", forward, "\n", NULL);
    }
    return apr_psprintf(p,
                        "# Tunnel %s. Use: ssh -N -F config relay\n"
                        "# The files stand twice: where this folder was made, and for a copy of it after `cd` into it.\n"
                        "Host relay\n"
                        "    HostName %s\n"
                        "    Port %d\n"
                        "    User %s\n"
                        "%s"
                        "    IdentitiesOnly yes\n"
                        "    PreferredAuthentications publickey\n"
                        "    HostKeyAlias %s\n"
                        "    UserKnownHostsFile %s known_hosts\n"
                        "    GlobalKnownHostsFile /dev/null\n"
                        "    StrictHostKeyChecking yes\n"
                        "%s"
                        "    ExitOnForwardFailure yes\n"
                        "    ConnectTimeout 30\n"
                        "    ServerAliveInterval 15\n"
                        "    ServerAliveCountMax 3\n"
                        "    # AES is by far the fastest where the processor has instructions for it.\n"
                        "    Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
                        "aes128-ctr,aes256-ctr\n",
                        t->id, cfg->ssh_host, cfg->ssh_port, cfg->user, identity(dir, private_file, own_key, p),
                        cfg->name, rly_sshconfig_path(apr_pstrcat(p, dir, "/known_hosts", NULL), p, NULL), forwards);
}
