/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sshconfig.h"
#include "describe.h"
#include "output.h"
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

const char *rly_sshconfig_proxy(const relay_config *cfg, apr_pool_t *p)
{
    int v6 = strchr(cfg->ssh_host, ':') != NULL;

    /* relay_config has seen to it that host and domain are names or addresses, and nothing a shell acts on. */
    return apr_psprintf(p, "openssl s_client -quiet -verify_quiet -alpn ssh -servername ssh.%s -connect %s%s%s:%d",
                        cfg->domain, v6 ? "[" : "", cfg->ssh_host, v6 ? "]" : "", cfg->https_port);
}

/* How the relay is reached. */
static const char *transport(const relay_config *cfg, int tls, apr_pool_t *p)
{
    if (!tls)
        return apr_psprintf(p, "    HostName %s\n    Port %d\n", cfg->ssh_host, cfg->ssh_port);
    return apr_psprintf(p,
                        "    HostName %s\n"
                        "    Port %d\n"
                        "    # SSH inside TLS, on the port for browsers: for networks that let out nothing else. Nobody looks at the\n"
                        "    # certificate here. A network that inspects TLS puts its own in the place of the relay's, and nothing\n"
                        "    # depends on it: inside, ssh checks the relay's host key, which is pinned in known_hosts.\n"
                        "    ProxyCommand %s\n",
                        cfg->ssh_host, cfg->https_port, rly_sshconfig_proxy(cfg, p));
}

/* What ./run goes by: who asks where, after a refused login, whether the tunnel has ended. */
static const char *head(const relay_config *cfg, const relay_tunnel *t, apr_pool_t *p)
{
    apr_time_t from = apr_time_sec(t->created), until = apr_time_sec(t->expires);

    return apr_psprintf(p,
                        "# Tunnel %s, until %s unless it is extended or closed.\n"
                        "# Use: ./run, which stays and connects again and again; or: ssh -N -F config relay\n"
                        "# run: tunnel %s from %" APR_TIME_T_FMT " to %" APR_TIME_T_FMT " ask https://%s.%s:%d/\n"
                        "# The files stand twice: where this folder was made, and for a copy of it after `cd` into it.\n",
                        t->id, rly_time_rfc3339(t->expires, p), t->id, from, until, t->routes[0].name, cfg->domain,
                        cfg->https_port);
}

const char *rly_sshconfig_text(const relay_config *cfg, const relay_tunnel *t, const char *dir,
                               const char *private_file, int own_key, int tls, apr_pool_t *p, const char **why)
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
                        "%s"
                        "Host relay\n"
                        "%s"
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
                        "    ServerAliveInterval 27\n"
                        "    ServerAliveCountMax 2\n"
                        "    # AES is by far the fastest where the processor has instructions for it.\n"
                        "    Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
                        "aes128-ctr,aes256-ctr\n",
                        head(cfg, t, p), transport(cfg, tls, p), cfg->user, identity(dir, private_file, own_key, p),
                        cfg->name, rly_sshconfig_path(apr_pstrcat(p, dir, "/known_hosts", NULL), p, NULL), forwards);
}
