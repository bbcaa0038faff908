/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "public.h"
#include "addresses.h"
#include "request/origin.h"

#include <apr_strings.h>
#include <http_protocol.h>

/* Where visitors reach the device is as this one did: r->parsed_uri has the port of his Host field.
 */
static const char *authority(const request_rec *r, const char *name)
{
    if (!r->parsed_uri.port_str || !*r->parsed_uri.port_str ||
        ap_is_default_port(r->parsed_uri.port, r))
        return name;
    return apr_psprintf(r->pool, "%s:%u", name, r->parsed_uri.port);
}

/* Made once a request, and by few of them. */
static mod_relay_addresses *addresses_of(request_rec *r, mod_relay_request *rr)
{
    const char *domain = rr->realm->relay->domain, *service;
    mod_relay_addresses *a = rr->addresses;
    const char **own;

    if (a)
        return a;
    rr->addresses = a = apr_pcalloc(r->pool, sizeof(*a));
    own = apr_pcalloc(r->pool, 3 * sizeof(*own));
    a->scheme = ap_http_scheme(r);
    a->domain = domain;
    a->name = apr_pstrcat(r->pool, rr->name, ".", domain, NULL);
    a->authority = authority(r, a->name);
    a->device_scheme = mod_relay_origin_scheme(rr);
    own[0] = mod_relay_origin_host(r, rr);
    if ((service = strstr(rr->route.service, "://")) != NULL)
        own[1] = service + strlen("://");
    a->own = own;
    a->room = MOD_RELAY_ADDRESSES_ROOM;
    return a;
}

const char *mod_relay_public_value(request_rec *r, mod_relay_request *rr, const char *name,
                                   const char *value)
{
    mod_relay_field field = mod_relay_field_of(name);

    if (field == MOD_RELAY_FIELD_OTHER)
        return value;
    return mod_relay_addresses_public(addresses_of(r, rr), field, value, r->pool);
}

/*
 * A device that is asked with its own Host has seen its own Origin too, where the visitor's was the
 * public one (origin.c). What it allows then has to be the public origin again.
 */
static void publish_origin(request_rec *r, mod_relay_request *rr)
{
    static const char field[] = "Access-Control-Allow-Origin";
    const char *value = *rr->route.authority ? apr_table_get(r->headers_out, field) : NULL;
    const mod_relay_addresses *a;

    if (!value)
        return;
    a = addresses_of(r, rr);
    if (ap_cstr_casecmp(value, apr_pstrcat(r->pool, a->device_scheme, "://", a->own[0], NULL)) == 0)
        apr_table_setn(r->headers_out, field,
                       apr_pstrcat(r->pool, a->scheme, "://", a->authority, NULL));
}

void mod_relay_public_fields(request_rec *r, mod_relay_request *rr)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_out);
    int i;

    for (i = 0; i < all->nelts; i++) {
        apr_table_entry_t *field = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        field->val = (char *)mod_relay_public_value(r, rr, field->key, field->val);
    }
    publish_origin(r, rr);
}
