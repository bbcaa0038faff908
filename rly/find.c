/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "find.h"
#include "output.h"
#include "relay_grant.h"
#include "relay_key.h"
#include "relay_log.h"
#include "relay_name.h"
#include "way.h"

#include <string.h>

#define CANDIDATES_MAX 10 /* that an error lists */
#define SHOWN_MAX "%.120s"

static apr_status_t not_found(rly *r, const char *word, const char **why)
{
    RELAY_WHY(why, r->p,
              "there is no tunnel with the id, name or device `" SHOWN_MAX
              "'; `rly list' shows those that are "
              "open",
              word);
    return RELAY_ENOTFOUND;
}

/* The tunnel that has or last had that name, though it may be the id of another. */
static apr_status_t by_name(relay_tunnel **out, rly *r, const char *name, const char **why)
{
    apr_pool_t *p = r->p;
    apr_status_t rv = r->way->find(out, r, RLY_BY_NAME, name, why);

    if (rv == RELAY_ENOTFOUND)
        RELAY_WHY(why, p,
                  "there is no tunnel with the name `%s'; `rly list' shows those that are open",
                  name);
    return rv;
}

static apr_status_t by_key(relay_tunnel **out, rly *r, const char *fingerprint, const char **why)
{
    apr_status_t rv = r->way->find(out, r, RLY_BY_KEY, fingerprint, why);

    if (rv == RELAY_ENOTFOUND)
        RELAY_WHY(why, r->p,
                  "there is no open tunnel with the key %s; relay-authkeys --check, on the relay, "
                  "tells what "
                  "became of it",
                  fingerprint);
    return rv;
}

static apr_status_t by_key_file(relay_tunnel **out, rly *r, const char *path, const char **why)
{
    relay_key *key;

    if (relay_key_read(&key, path, r->p, why) != APR_SUCCESS)
        return RELAY_EREFUSED; /* the command was right, the file's content is not */
    return by_key(out, r, key->fingerprint, why);
}

static apr_status_t by_url(relay_tunnel **out, rly *r, const char *url, const char **why)
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
    if (relay_name_from_host(name, host, len, r->cfg->domain) == RELAY_HOST_NAME)
        return by_name(out, r, name, why);
    RELAY_WHY(why, r->p,
              "`" SHOWN_MAX
              "' is no URL of a tunnel: those are https://NAME.%s/ ([relay] domain in %s)",
              url, r->cfg->domain, r->cfg->file);
    return RELAY_EREFUSED;
}

/* ---- devices */

/* `2kqv5d7mzu3fhw4a (nas-bern, until 2026-11-20 22:05 CET)` */
static const char *candidate(const relay_tunnel *t, apr_pool_t *p)
{
    return apr_psprintf(p, "%s (%s%s, until %s)", t->id, t->routes[0].name,
                        t->nroutes > 1 ? ", …" : "", rly_time_local(t->expires, p));
}

static apr_status_t by_device(relay_tunnel **out, rly *r, const char *device, const char **why)
{
    apr_array_header_t *found;
    const char *list = "";
    apr_pool_t *p = r->p;
    apr_status_t rv = r->way->with_device(&found, r, device, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (found->nelts == 0)
        return not_found(r, device, why);
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
static apr_status_t by_label(relay_tunnel **out, rly *r, const char *word, const char **why)
{
    static char program[] = "rly";
    apr_array_header_t *devices;
    apr_status_t rv = r->way->find(out, r, RLY_BY_ID_OR_NAME, word, why);

    if (rv == RELAY_ENOTFOUND)
        return by_device(out, r, word, why);
    if (rv != APR_SUCCESS || strcmp((*out)->id, word) == 0)
        return rv;
    /* The name is found. Other records, which cannot be read, do not matter. */
    relay_log_install(NULL, NULL);
    rv = r->way->with_device(&devices, r, word, why);
    relay_log_install(relay_log_to_stderr, program);
    if (rv != APR_SUCCESS)
        return rv;
    for (int i = 0; i < devices->nelts; i++) {
        const relay_tunnel *other = APR_ARRAY_IDX(devices, i, relay_tunnel *);

        if (strcmp(other->id, (*out)->id) != 0) {
            RELAY_WHY(why, r->p,
                      "`%s' is a name of tunnel %s, and the device of another, %s; give the id of "
                      "the one that "
                      "you mean, or %s.%s for the first",
                      word, (*out)->id, candidate(other, r->p), word, r->cfg->domain);
            return RELAY_EREFUSED;
        }
    }
    return APR_SUCCESS;
}

apr_status_t rly_find(relay_tunnel **out, rly *r, const char *word, const char **why)
{
    const char *prefixed = apr_pstrcat(r->p, "SHA256:", word, NULL);
    apr_size_t len = strlen(word);
    char name[RELAY_NAME_MAX + 1];
    apr_status_t rv;

    /* Of URLs and hosts, which have dots in them. */
    if ((strchr(word, '.') || strstr(word, "://")) &&
        (rv = r->way->learn_domain(r, why)) != APR_SUCCESS)
        return rv;
    if (strstr(word, "://"))
        return by_url(out, r, word, why);
    if (len > 4 && strcmp(word + len - 4, ".pub") == 0)
        return by_key_file(out, r, word, why);
    if (relay_fingerprint_is_valid(word))
        return by_key(out, r, word, why);
    if (strchr(word, '.') &&
        relay_name_from_host(name, word, len, r->cfg->domain) == RELAY_HOST_NAME)
        return by_name(out, r, name, why);
    if (relay_name_check(word, len, NULL, NULL) == APR_SUCCESS)
        return by_label(out, r, word, why);
    if (relay_fingerprint_is_valid(prefixed))
        return by_key(out, r, prefixed, why);
    return by_device(out, r, word, why);
}
