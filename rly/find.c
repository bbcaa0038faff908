/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "find.h"
#include "output.h"
#include "relay_grant.h"
#include "relay_key.h"
#include "relay_log.h"
#include "relay_name.h"

#include <string.h>

#define CANDIDATES_MAX 10 /* that an error lists */
#define SHOWN_MAX "%.120s"

static apr_status_t not_found(const rly_finder *f, const char *word, const char **why)
{
    RELAY_WHY(why, f->r->p,
              "there is no tunnel with the id, name or device `" SHOWN_MAX
              "'; `rly list' shows those that are "
              "open",
              word);
    return RELAY_ENOTFOUND;
}

/* The tunnel with that id and no other. */
static apr_status_t load(relay_tunnel **out, const rly_finder *f, const char *id, const char **why)
{
    relay_tunnel *t;
    apr_status_t rv = relay_tunnel_find(&t, f->r->store, id, f->r->p, why);

    /* Where there is no such id it is taken for a name. */
    if (rv == APR_SUCCESS && strcmp(t->id, id) != 0)
        return RELAY_ENOTFOUND;
    if (rv == APR_SUCCESS)
        *out = t;
    return rv;
}

/* The tunnel that has or last had that name, though it may be the id of another. */
static apr_status_t by_name(relay_tunnel **out, const rly_finder *f, const char *name,
                            const char **why)
{
    apr_pool_t *p = f->r->p;
    apr_status_t rv = relay_tunnel_find_named(out, f->r->store, name, p, why);

    if (rv == RELAY_ENOTFOUND)
        RELAY_WHY(why, p,
                  "there is no tunnel with the name `%s'; `rly list' shows those that are open",
                  name);
    return rv;
}

static apr_status_t by_key(relay_tunnel **out, const rly_finder *f, const char *fingerprint,
                           const char **why)
{
    relay_grant grant;
    apr_status_t rv = relay_grant_find(&grant, f->r->store, fingerprint, f->r->p, why);

    if (rv == APR_SUCCESS)
        rv = load(out, f, grant.tunnel, why);
    if (rv == RELAY_ENOTFOUND)
        RELAY_WHY(why, f->r->p,
                  "there is no open tunnel with the key %s; relay-authkeys --check, on the relay, "
                  "tells what "
                  "became of it",
                  fingerprint);
    return rv;
}

static apr_status_t by_key_file(relay_tunnel **out, const rly_finder *f, const char *path,
                                const char **why)
{
    relay_key *key;

    if (relay_key_read(&key, path, f->r->p, why) != APR_SUCCESS)
        return RELAY_EREFUSED; /* the command was right, the file's content is not */
    return by_key(out, f, key->fingerprint, why);
}

static apr_status_t by_url(relay_tunnel **out, const rly_finder *f, const char *url,
                           const char **why)
{
    const char *host = strstr(url, "://") + 3;
    apr_size_t len = strcspn(host, "/?#\\"); /* a browser takes a backslash for a slash */
    char name[RELAY_NAME_MAX + 1];

    for (apr_size_t i = len; i > 0; i--)
        if (host[i - 1] == '@') { /* a user and a password stand before it */
            host += i;
            len -= i;
            break;
        }
    if (relay_name_from_host(name, host, len, f->r->cfg->domain) == RELAY_HOST_NAME)
        return by_name(out, f, name, why);
    RELAY_WHY(why, f->r->p,
              "`" SHOWN_MAX
              "' is no URL of a tunnel: those are https://NAME.%s/ ([relay] domain in %s)",
              url, f->r->cfg->domain, f->r->cfg->file);
    return RELAY_EREFUSED;
}

/* ---- devices */

/* `2kqv5d7mzu3fhw4a (nas-bern, until 2026-11-20 22:05 CET)` */
static const char *candidate(const relay_tunnel *t, apr_pool_t *p)
{
    return apr_psprintf(p, "%s (%s%s, until %s)", t->id, t->routes[0].name,
                        t->nroutes > 1 ? ", …" : "", rly_time_local(t->expires, p));
}

/* The open tunnels with that device's name. */
static apr_status_t with_device(apr_array_header_t **out, rly_finder *f, const char *device,
                                const char **why)
{
    apr_array_header_t *found = apr_array_make(f->r->p, 2, sizeof(relay_tunnel *));
    apr_status_t rv =
        f->open ? APR_SUCCESS : relay_tunnel_list(&f->open, f->r->store, f->r->p, why);

    if (rv != APR_SUCCESS)
        return rv;
    for (int i = 0; i < f->open->nelts; i++) {
        relay_tunnel *t = APR_ARRAY_IDX(f->open, i, relay_tunnel *);

        if (*device && strcmp(t->device, device) == 0)
            APR_ARRAY_PUSH(found, relay_tunnel *) = t;
    }
    *out = found;
    return APR_SUCCESS;
}

static apr_status_t by_device(relay_tunnel **out, rly_finder *f, const char *device,
                              const char **why)
{
    apr_array_header_t *found;
    const char *list = "";
    apr_pool_t *p = f->r->p;
    apr_status_t rv = with_device(&found, f, device, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (found->nelts == 0)
        return not_found(f, device, why);
    if (found->nelts == 1) {
        *out = APR_ARRAY_IDX(found, 0, relay_tunnel *);
        return APR_SUCCESS;
    }
    for (int i = 0; i < found->nelts && i < CANDIDATES_MAX; i++)
        list = apr_pstrcat(p, list, i ? ", " : "",
                           candidate(APR_ARRAY_IDX(found, i, relay_tunnel *), p), NULL);
    if (found->nelts > CANDIDATES_MAX)
        list = apr_psprintf(p, "%s and %d more", list, found->nelts - CANDIDATES_MAX);
    RELAY_WHY(why, p, "%d open tunnels have the device `" SHOWN_MAX "'; give the id of one: %s",
              found->nelts, device, list);
    return RELAY_EREFUSED;
}

/* A word that may be an id, a name or a device. */
static apr_status_t by_label(relay_tunnel **out, rly_finder *f, const char *word, const char **why)
{
    static char program[] = "rly";
    apr_array_header_t *devices;
    apr_status_t rv = relay_tunnel_find(out, f->r->store, word, f->r->p, why);

    if (rv == RELAY_ENOTFOUND)
        return by_device(out, f, word, why);
    if (rv != APR_SUCCESS || strcmp((*out)->id, word) == 0)
        return rv;
    /* The name is found. Other records, which cannot be read, do not matter. */
    relay_log_install(NULL, NULL);
    rv = with_device(&devices, f, word, why);
    relay_log_install(relay_log_to_stderr, program);
    if (rv != APR_SUCCESS)
        return rv;
    for (int i = 0; i < devices->nelts; i++) {
        const relay_tunnel *other = APR_ARRAY_IDX(devices, i, relay_tunnel *);

        if (strcmp(other->id, (*out)->id) != 0) {
            RELAY_WHY(why, f->r->p,
                      "`%s' is a name of tunnel %s, and the device of another, %s; give the id of "
                      "the one that "
                      "you mean, or %s.%s for the first",
                      word, (*out)->id, candidate(other, f->r->p), word, f->r->cfg->domain);
            return RELAY_EREFUSED;
        }
    }
    return APR_SUCCESS;
}

apr_status_t rly_find(relay_tunnel **out, rly_finder *f, const char *word, const char **why)
{
    const char *prefixed = apr_pstrcat(f->r->p, "SHA256:", word, NULL);
    apr_size_t len = strlen(word);
    char name[RELAY_NAME_MAX + 1];

    if (strstr(word, "://"))
        return by_url(out, f, word, why);
    if (len > 4 && strcmp(word + len - 4, ".pub") == 0)
        return by_key_file(out, f, word, why);
    if (relay_fingerprint_is_valid(word))
        return by_key(out, f, word, why);
    if (relay_name_from_host(name, word, len, f->r->cfg->domain) == RELAY_HOST_NAME)
        return by_name(out, f, name, why);
    if (relay_name_check(word, len, NULL, NULL) == APR_SUCCESS)
        return by_label(out, f, word, why);
    if (relay_fingerprint_is_valid(prefixed))
        return by_key(out, f, prefixed, why);
    return by_device(out, f, word, why);
}
