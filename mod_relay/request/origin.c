/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy takes Host and :authority from r->headers_in, and the name in TLS from r->hostname,
 * where its directory configuration says ProxyPreserveHost; otherwise it makes them of the listen
 * address, which no device may see. The configuration is not the request's own: the request gets a
 * copy of the vector, with another one for mod_proxy in it.
 */

#include "origin.h"
#include "fields.h"
#include "hooks.h"
#include "relay_needs.h"
#include "secrets.h"
#include "urls.h"
#include "weak_proxy.h"

#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_protocol.h>

/* The pool of a backend has the name in TLS under this key. */
#define NAME_KEY "mod_relay_origin_name"

/* From child_init on. */
static struct {
    module *proxy;     /* mod_proxy */
    int vector_length; /* of a configuration vector, as far as it is used */
    /* Merged over mod_proxy's configuration: the Host is kept, [1] and nothing is added. */
    proxy_dir_conf *add[2];
} ours;

static void child_init(apr_pool_t *p, server_rec *s)
{
    module *m;
    int i;

    if ((ours.proxy = ap_find_linked_module("mod_proxy.c")) == NULL)
        return;
    for (m = ap_top_module; m; m = m->next)
        if (m->module_index >= ours.vector_length)
            ours.vector_length = m->module_index + 1;
    for (i = 0; i < 2; i++) {
        proxy_dir_conf *add = ours.proxy->create_dir_config(p, NULL);

        add->preserve_host = add->preserve_host_set = 1;
        add->add_forwarded_headers = 0;
        add->add_forwarded_headers_set = i ? 1 : 0;
        ours.add[i] = add;
    }
    for (; s; s = s->next) {
        mod_relay_server *conf = mod_relay_server_of(s);

        conf->has_domain = conf->engine == 1 && s->server_hostname &&
                           ap_cstr_casecmp(s->server_hostname, conf->realm->relay->domain) == 0;
        conf->proxy_conf = ap_get_module_config(s->lookup_defaults, ours.proxy);
        for (i = 0; i < 2; i++)
            conf->proxy_conf_for[i] =
                ours.proxy->merge_dir_config(p, conf->proxy_conf, ours.add[i]);
    }
}

/* ---- names */

const char *mod_relay_origin_host(const request_rec *r, const mod_relay_request *rr)
{
    const apr_table_t *fields = rr->headers_in ? rr->headers_in : r->headers_in;
    const char *host;

    if (*rr->route.authority)
        return rr->route.authority;
    host = apr_table_get(fields, "Host");
    return host ? host : r->hostname;
}

const char *mod_relay_origin_scheme(const mod_relay_request *rr)
{
    return strcmp(rr->route.scheme, "https") == 0 ? "https" : "http";
}

static int port_in(const char *host)
{
    const char *colon = strrchr(host, ':');

    return colon && colon[1] ? atoi(colon + 1) : 0;
}

static mod_relay_urls urls_of(request_rec *r, const mod_relay_request *rr)
{
    const char *public = apr_table_get(r->headers_in, "Host");
    mod_relay_urls urls = {.name = rr->name,
                           .domain = rr->realm->relay->domain,
                           .tls = strcmp(ap_http_scheme(r), "https") == 0,
                           .port = public ? port_in(public) : 0};

    urls.to = apr_pstrcat(r->pool, mod_relay_origin_scheme(rr), "://", mod_relay_origin_host(r, rr),
                          NULL);
    return urls;
}

/* ---- fields */

typedef const char *translate(const char *value, const mod_relay_urls *urls, apr_pool_t *p);

static void change(request_rec *r, mod_relay_request *rr, const mod_relay_urls *urls,
                   const char *name, translate *to_device)
{
    const char *value = apr_table_get(r->headers_in, name), *changed;

    if (value && (changed = to_device(value, urls, r->pool)) != value)
        apr_table_setn(mod_relay_secrets_own_fields(r, rr), name, changed);
}

/* WebDAV servers compare Destination and If with what they are asked by, the scheme included. */
static void change_urls(request_rec *r, mod_relay_request *rr)
{
    int dav = r->method_number != M_GET &&
              (apr_table_get(r->headers_in, "Destination") || apr_table_get(r->headers_in, "If"));
    mod_relay_urls urls;

    if (!dav && !*rr->route.authority)
        return;
    urls = urls_of(r, rr);
    if (dav) {
        change(r, rr, &urls, "Destination", mod_relay_url_to_device);
        change(r, rr, &urls, "If", mod_relay_if_to_device);
    }
    if (*rr->route.authority) {
        change(r, rr, &urls, "Origin", mod_relay_url_to_device);
        change(r, rr, &urls, "Referer", mod_relay_url_to_device);
    }
}

static int tells_of_proxy(const char *name)
{
    return ap_cstr_casecmpn(name, "X-Forwarded-", 12) == 0 ||
           ap_cstr_casecmp(name, "Forwarded") == 0 || ap_cstr_casecmp(name, "Via") == 0;
}

/* As mod_proxy does it, but with the names that are public. */
static void add_forwarded(request_rec *r, const mod_relay_request *rr)
{
    const char *host = apr_table_get(rr->headers_in, "Host");

    apr_table_mergen(r->headers_in, "X-Forwarded-For", r->useragent_ip);
    apr_table_mergen(r->headers_in, "X-Forwarded-Host", host ? host : r->hostname);
    apr_table_mergen(r->headers_in, "X-Forwarded-Server", rr->realm->relay->domain);
}

/* ---- mod_proxy's configuration */

/* @param silent mod_proxy adds no X-Forwarded-* */
static void change_configuration(request_rec *r, mod_relay_request *rr, void *base, int silent)
{
    ap_conf_vector_t *copy =
        apr_pmemdup(r->pool, r->per_dir_config, (apr_size_t)ours.vector_length * sizeof(void *));

    /* They differ where a <Location> or the like has directives of mod_proxy's. */
    ap_set_module_config(copy, ours.proxy,
                         base == rr->server->proxy_conf
                             ? rr->server->proxy_conf_for[silent]
                             : ours.proxy->merge_dir_config(r->pool, base, ours.add[silent]));
    rr->per_dir_config = r->per_dir_config;
    r->per_dir_config = copy;
}

void mod_relay_origin_begin(request_rec *r, mod_relay_request *rr)
{
    proxy_dir_conf *conf = ap_get_module_config(r->per_dir_config, ours.proxy);
    int forwarded = rr->route.forwarded && conf->add_forwarded_headers;
    int own = forwarded && (*rr->route.authority || !rr->server->has_domain);

    change_urls(r, rr);
    if (own) {
        mod_relay_secrets_own_fields(r, rr);
        add_forwarded(r, rr);
    }
    if (*rr->route.authority)
        apr_table_setn(mod_relay_secrets_own_fields(r, rr), "Host", rr->route.authority);
    if (!conf->preserve_host || own || forwarded != conf->add_forwarded_headers)
        change_configuration(r, rr, conf, own || !forwarded);
}

void mod_relay_origin_end(request_rec *r, mod_relay_request *rr)
{
    if (rr->per_dir_config)
        r->per_dir_config = rr->per_dir_config;
    rr->per_dir_config = NULL;
}

/* mod_proxy may have added Via by now, and has removed the fields that Connection names. */
static int proxy_fixups(request_rec *r)
{
    const mod_relay_request *rr = mod_relay_request_of(r);

    if (!rr)
        return OK;
    if (!rr->route.forwarded)
        mod_relay_fields_drop(r->headers_in, tells_of_proxy, r->pool);
    else if (!apr_table_get(r->headers_in, "X-Forwarded-Proto"))
        apr_table_setn(r->headers_in, "X-Forwarded-Proto", ap_http_scheme(r));
    return OK;
}

/* ---- the name in TLS */

void mod_relay_origin_mark(const mod_relay_request *rr, apr_pool_t *p)
{
    char *name, *end;

    if (!*rr->route.authority)
        return;
    /* An address never goes into SNI; mod_ssl sees to that. */
    name = apr_pstrdup(p, rr->route.authority);
    if (*name == '[') {
        name++;
        name[strcspn(name, "]")] = '\0';
    }
    else if ((end = strchr(name, ':')) != NULL) {
        *end = '\0';
    }
    apr_pool_userdata_setn(name, NAME_KEY, NULL, p);
}

/* mod_proxy has noted r->hostname, which is the public name, and makes a connection's pools below
 * that of its worker. mod_ssl reads the note in the handshake. */
static int pre_connection(conn_rec *c, void *csd)
{
    const mod_relay_server *conf = mod_relay_server_of(c->base_server);
    apr_pool_t *p;
    void *name = NULL;

    if (!c->outgoing || conf->engine != 1 || !apr_table_get(c->notes, "proxy-request-hostname"))
        return DECLINED;
    for (p = c->pool; p && !name; p = apr_pool_parent_get(p))
        apr_pool_userdata_get(&name, NAME_KEY, p);
    if (name)
        apr_table_setn(c->notes, "proxy-request-hostname", name);
    return DECLINED;
}

void mod_relay_origin_register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    APR_OPTIONAL_HOOK(proxy, fixups, proxy_fixups, NULL, NULL, APR_HOOK_MIDDLE);
}
