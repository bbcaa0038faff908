/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The directives and the settings that they make. directives.def is the table. Settings live in
 * the pool of the configuration; once check_config has run, nobody changes them.
 */
#ifndef RELAY_API_DIRECTIVES_H
#define RELAY_API_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

extern module AP_MODULE_DECLARE_DATA relay_api_module;

APLOG_USE_MODULE(relay_api);

typedef int api_place; /* -1: not given */
typedef const char *api_path;
typedef int api_number;
typedef apr_array_header_t *api_urls;   /* const char *; NULL: not given */
typedef apr_array_header_t *api_people; /* api_person, in their order; NULL: not given */

/** A server's settings, and in api_place members a directory's: both have all members. */
typedef struct api_conf {
#define DIRECTIVE(name, syntax, kind, member, ...) api_##kind member;
#include "directives.def"
    int wanted;              /* RelayAPI is on somewhere in this server */
    struct api_realm *realm; /* from check_config on, where it is wanted */
} api_conf;

static inline api_conf *api_server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &relay_api_module);
}

static inline api_conf *api_place_of(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &relay_api_module);
}

extern const command_rec api_directives[];
void *api_place_create(apr_pool_t *p, char *place);
void *api_server_create(apr_pool_t *p, server_rec *s);
void *api_conf_merge(apr_pool_t *p, void *base, void *add);

/** Sets a server's defaults; check_config. */
void api_conf_complete(api_conf *conf);

#endif
