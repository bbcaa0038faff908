/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sshconfig.h"
#include "relay_connect.h"
#include "relay_print.h"
#include "relay_text.h"

#include <string.h>

const char *rly_sshconfig_path(const char *path, apr_pool_t *p, const char **why)
{
    char *out, *to;

    /* ssh replaces ${…} by the environment, and knows no way to write it literally. */
    if (strstr(path, "${")) {
        RELAY_WHY(why, p,
                  "%s: ssh cannot use a path with `${' in its configuration; choose another", path);
        return NULL;
    }
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            RELAY_WHY(why, p,
                      "%s: ssh cannot use a path with line ends or control characters in its "
                      "configuration; "
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

static const char *identity_line(const char *file, apr_pool_t *p)
{
    return file ? apr_pstrcat(p, "    IdentityFile ", file, "\n", NULL) : "";
}

/*
 * A command for ssh's `Match exec`, which the user's shell runs: it succeeds while the folder where
 * the bundle was made still holds it. The tunnel's id stands in its configuration. ssh knows no way
 * to write a quotation mark or a backslash in there, and the shell none to write its own within
 * such marks: a `?` between them matches any character.
 */
static const char *is_here(const char *dir, const char *id, apr_pool_t *p)
{
    char *quoted = apr_palloc(p, strlen(dir) * 3 + 1), *to = quoted;

    for (; *dir; dir++) {
        if (strchr("'\"\\%!", *dir)) {
            memcpy(to, "'?'", 3);
            to += 3;
        }
        else {
            *to++ = *dir;
        }
    }
    *to = '\0';
    return apr_psprintf(p, "exec \"grep -qs %s '%s/config'\"", id, quoted);
}

/*
 * The places of the key and of the pinned host key. ssh takes a relative name from where it was
 * started, and complains of each file that is not there. So it gets the files of the folder that
 * was written, or else those of the current one.
 */
static const char *files(const relay_tunnel *t, const char *dir, const char *private_file,
                         int own_key, apr_pool_t *p)
{
    const char *here = is_here(dir, t->id, p);
    const char *id = rly_sshconfig_path(apr_pstrcat(p, dir, "/id_relay", NULL), p, NULL);
    const char *hosts = rly_sshconfig_path(apr_pstrcat(p, dir, "/known_hosts", NULL), p, NULL);

    return apr_pstrcat(
        p,
        "# The files of this folder, where it was made; or of a copy of it, after `cd` "
        "into that.\n",
        own_key ? ""
                : "# The device's own private key: as id_relay in this folder, or in "
                  "its ssh agent.\n",
        "Match originalhost relay ", here, "\n", identity_line(private_file, p),
        identity_line(id, p), own_key ? "" : identity_line("id_relay", p),
        "    UserKnownHostsFile ", hosts, "\n", "Match originalhost relay !", here, "\n",
        identity_line("id_relay", p), identity_line(private_file, p),
        "    UserKnownHostsFile known_hosts\n", NULL);
}

/* The lines that say how ssh reaches the relay. */
static const char *transport(const relay_config *cfg, int tls, apr_pool_t *p)
{
    if (!tls)
        return apr_psprintf(p, "    HostName %s\n    Port %d\n", cfg->ssh_host, cfg->ssh_port);
    return apr_psprintf(p,
                        "    HostName %s\n"
                        "    Port %d\n"
                        "    # SSH inside TLS, on the port for browsers: for networks that let out "
                        "nothing else. Nobody looks at the\n"
                        "    # certificate here. A network that inspects TLS puts its own in the "
                        "place of the relay's, and nothing\n"
                        "    # depends on it: inside, ssh checks the relay's host key, which is "
                        "pinned in known_hosts.\n"
                        "    ProxyCommand %s\n",
                        cfg->ssh_host, cfg->https_port, relay_connect_proxy(cfg, p));
}

/* The line that ./run reads: where it asks, after a refused login, whether the tunnel has ended. */
static const char *head(const relay_config *cfg, const relay_tunnel *t, apr_pool_t *p)
{
    apr_time_t from = apr_time_sec(t->created), until = apr_time_sec(t->expires);
    const char *urls = "", *url;

    for (int i = 0; i < t->nroutes; i++)
        if ((url = relay_connect_url(cfg, &t->routes[i], p)) != NULL)
            urls = apr_pstrcat(p, urls, "# run: serves ", url, "\n", NULL);
    return apr_psprintf(p,
                        "# Tunnel %s, until %s unless it is extended or closed.\n"
                        "# Use: ./run, which stays and connects again and again; or, after `cd` to "
                        "here: ssh -N -F config relay\n"
                        "# run: tunnel %s from %" APR_TIME_T_FMT " to %" APR_TIME_T_FMT
                        " ask https://%s.%s:%d/\n"
                        "%s",
                        t->id, relay_print_rfc3339(t->expires, p), t->id, from, until,
                        t->routes[0].name, cfg->domain, cfg->https_port, urls);
}

const char *rly_sshconfig_text(const relay_config *cfg, const relay_tunnel *t, const char *dir,
                               const char *private_file, int own_key, int tls, apr_pool_t *p,
                               const char **why)
{
    const char *forwards = "", *forward;

    for (int i = 0; i < t->nroutes; i++) {
        if ((forward = relay_connect_forward(&t->routes[i], " ", p)) == NULL) {
            RELAY_WHY(why, p, "the service %s cannot be written for ssh", t->routes[i].service);
            return NULL;
        }
        forwards = apr_pstrcat(p, forwards, "    RemoteForward ", forward, "\n", NULL);
    }
    return apr_psprintf(
        p,
        "%s"
        "Host relay\n"
        "%s"
        "    User %s\n"
        "%s"
        "    IdentitiesOnly yes\n"
        "    PreferredAuthentications publickey\n"
        "    HostKeyAlias %s\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n"
        "%s"
        "    ExitOnForwardFailure yes\n"
        "    ConnectTimeout 30\n"
        "    ServerAliveInterval 27\n"
        "    ServerAliveCountMax 2\n"
        "    # AES is by far the fastest where the processor has instructions for it.\n"
        "    Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
        "aes128-ctr,aes256-ctr\n"
        "%s",
        head(cfg, t, p), transport(cfg, tls, p), cfg->user, own_key ? "    BatchMode yes\n" : "",
        cfg->name, forwards, files(t, dir, private_file, own_key, p));
}
