/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * NTLM and Negotiate log a connection in, not a request: the device takes the next request on that
 * connection for the same person's. So a visitor whose request has such an Authorization gets a
 * connection of his own, from then on and for that route: a backend that belongs to his connection
 * and ends with it. It never goes back to the others' pool. He keeps it for all three legs of the
 * handshake, and for the requests without Authorization that follow.
 *
 * Such logins do not work over HTTP/2, where one connection has many requests at once and proxies
 * join visitors on one. Browsers, curl and others come back over HTTP/1.1 when a stream is reset
 * with HTTP_1_1_REQUIRED. mod_http2 does that for a 403 with a note of mod_ssl's, which says that
 * mod_ssl would have to renegotiate (h2_headers_rcreate()).
 */

#include "pinned.h"
#include "connection.h"

#include <apr_lib.h>
#include <apr_strings.h>

/* The routes for which one connection of a visitor can have such backends. A browser has a
 * connection for each name. */
#define PINS_MAX 4

typedef struct mod_relay_pins {
    mod_relay_backend *backends[PINS_MAX]; /* newest first; NULL: free */
} pins;

/* Does a field name such a scheme? It may name several schemes. */
static int is_by_connection(const char *value)
{
    static const char *const schemes[] = {"NTLM", "Negotiate", "Kerberos", "Nego2"};
    unsigned i;

    while (value) {
        value += strspn(value, ", \t");
        for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
            apr_size_t length = strlen(schemes[i]);

            if (ap_cstr_casecmpn(value, schemes[i], length) == 0 &&
                (!value[length] || strchr(", \t", value[length])))
                return 1;
        }
        value = strchr(value, ',');
    }
    return 0;
}

static int note_scheme(void *found, const char *name, const char *value)
{
    *(int *)found |= is_by_connection(value);
    return 1;
}

static int names_scheme(const apr_table_t *fields, const char *name)
{
    int found = 0;

    if (apr_table_get(fields, name))
        apr_table_do(note_scheme, &found, fields, name, NULL);
    return found;
}

/* The visitor's connection has ended: no request uses its backends any more. */
static apr_status_t forget_all(void *data)
{
    pins *all = data;
    int i;

    for (i = 0; i < PINS_MAX; i++)
        if (all->backends[i])
            mod_relay_backend_destroy(all->backends[i]);
    return APR_SUCCESS;
}

static mod_relay_backend *find(const pins *all, const mod_relay_request *rr)
{
    int i;

    for (i = 0; all && i < PINS_MAX; i++)
        if (all->backends[i] && mod_relay_backend_is_for(all->backends[i], rr))
            return all->backends[i];
    return NULL;
}

static void add(conn_rec *c, pins *all, mod_relay_backend *be)
{
    if (!all) {
        all = apr_pcalloc(c->pool, sizeof(*all));
        mod_relay_connection_of(c)->pins = all;
        apr_pool_cleanup_register(c->pool, all, forget_all, apr_pool_cleanup_null);
    }
    if (all->backends[PINS_MAX - 1])
        mod_relay_backend_destroy(all->backends[PINS_MAX - 1]);
    memmove(all->backends + 1, all->backends, (PINS_MAX - 1) * sizeof(all->backends[0]));
    all->backends[0] = be;
}

static int demand_http1(request_rec *r, const mod_relay_request *rr)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  "RLY134 tunnel %s: its device logs connections in (NTLM, Negotiate); the visitor "
                  "is asked to come by HTTP/1.1",
                  rr->route.tunnel);
    apr_table_setn(r->notes, "ssl-renegotiate-forbidden", "the device logs connections in");
    return HTTP_FORBIDDEN;
}

int mod_relay_pinned_acquire(request_rec *r, mod_relay_request *rr, mod_relay_backend **out)
{
    int wanted = names_scheme(r->headers_in, "Authorization");
    conn_rec *c = r->connection;
    pins *all;

    *out = NULL;
    if (c->master)
        return wanted ? demand_http1(r, rr) : OK;
    all = mod_relay_connection_of(c)->pins;
    if (!all && !wanted)
        return OK;
    if ((*out = find(all, rr)) == NULL && wanted) {
        if ((*out = mod_relay_backend_make_private(r, rr)) == NULL)
            return HTTP_INTERNAL_SERVER_ERROR;
        add(c, all, *out);
    }
    return OK;
}

void mod_relay_pinned_answer(request_rec *r, const mod_relay_request *rr)
{
    if (r->status != HTTP_UNAUTHORIZED || !r->connection->master ||
        !names_scheme(r->headers_out, "WWW-Authenticate"))
        return;
    r->status = demand_http1(r, rr);
    r->status_line = NULL;
}
