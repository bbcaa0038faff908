/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "urls.h"
#include "relay_name.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

/* The port behind a host, which ends at len: 0 where there is none, -1 where it is no number. Cuts
 * len to the host. */
static int port_of(const char *host, size_t *len)
{
    size_t at = *len, i;
    int port = 0;

    while (at && host[at - 1] >= '0' && host[at - 1] <= '9')
        at--;
    if (!at || host[at - 1] != ':')
        return 0;
    for (i = at; i < *len; i++) {
        port = port * 10 + host[i] - '0';
        if (port > 65535)
            return -1;
    }
    *len = at - 1;
    return port;
}

/* The rest of a URL whose scheme and authority are public, or NULL. The authority ends at one of
 * ends. */
static const char *behind_public(const char *url, const char *ends, const mod_relay_urls *urls)
{
    char name[RELAY_NAME_MAX + 1];
    const char *host = url, *end, *at;
    int tls = urls->tls, own, port;
    size_t len;

    if (strncasecmp(url, "https://", 8) == 0) {
        host += 8;
        tls = 1;
    }
    else if (strncasecmp(url, "http://", 7) == 0 && !urls->tls) {
        host += 7;
        tls = 0;
    }
    else if (url[0] == '/' && url[1] == '/') {
        host += 2;
    }
    else {
        return NULL;
    }
    end = host + strcspn(host, ends);
    for (at = end; at > host && at[-1] != '@';)
        at--;
    len = (size_t)(end - at);
    own = tls ? 443 : 80;
    port = port_of(at, &len);
    if ((port ? port : own) != (urls->port ? urls->port : own) ||
        relay_name_from_host(name, at, len, urls->domain) != RELAY_HOST_NAME ||
        strcmp(name, urls->name))
        return NULL;
    return end;
}

const char *mod_relay_url_to_device(const char *url, const mod_relay_urls *urls, apr_pool_t *p)
{
    const char *rest = behind_public(url, "/\\?#", urls);

    return rest ? apr_pstrcat(p, urls->to, rest, NULL) : url;
}

/* The length of a list, which begins at `(`: to behind its `)`, or to the end. A `)` in the
 * quotes of an entity tag, or in <…>, does not count. */
static size_t list_length(const char *list)
{
    const char *at = list;

    while (*at && *at != ')') {
        if (*at == '"' || *at == '<') {
            const char *close = strchr(at + 1, *at == '"' ? '"' : '>');

            if (!close)
                return strlen(list);
            at = close;
        }
        at++;
    }
    return (size_t)(at - list) + (*at == ')');
}

const char *mod_relay_if_to_device(const char *value, const mod_relay_urls *urls, apr_pool_t *p)
{
    size_t to = strlen(urls->to), tags = 0, len;
    const char *at, *end, *rest;
    char *made = NULL, *out = NULL;

    for (at = value; (at = strchr(at, '<')) != NULL; at++)
        tags++;
    for (at = value; *at; at = end) {
        rest = NULL;
        if (*at == '(') {
            end = at + list_length(at);
        }
        else if (*at == '<') {
            end = at + strcspn(at, ">");
            rest = behind_public(at + 1, "/\\?#>", urls);
        }
        else {
            end = at + 1 + strcspn(at + 1, "(<");
        }
        if (rest && !made) {
            made = apr_palloc(p, strlen(value) + tags * (to + 1) + 1);
            memcpy(made, value, (size_t)(at - value));
            out = made + (at - value);
        }
        if (!made)
            continue;
        if (rest) {
            *out++ = '<';
            memcpy(out, urls->to, to);
            out += to;
            at = rest;
        }
        len = (size_t)(end - at);
        memcpy(out, at, len);
        out += len;
    }
    if (!made)
        return value;
    *out = '\0';
    return made;
}
