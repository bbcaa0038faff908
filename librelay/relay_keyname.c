/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_keyname.h"

#define BEGINS(name, text) [RELAY_KEYNAME_##name] = (text),
static const char *const begins[] = {RELAY_KEYNAME_KINDS(BEGINS)};

const char *relay_keyname(const relay_config *cfg, relay_keyname_kind kind, const char *id,
                          apr_pool_t *p)
{
    return apr_pstrcat(p, cfg->prefix, begins[kind], id, NULL);
}

const char *relay_keyname_format(const relay_config *cfg, relay_keyname_kind kind, const char *id,
                                 char *buf, apr_size_t size)
{
    apr_snprintf(buf, size, "%s%s%s", cfg->prefix, begins[kind], id);
    return buf;
}

const char *relay_keyname_slot(const relay_config *cfg, relay_listen_addr addr, char *buf,
                               apr_size_t size)
{
    char text[RELAY_LISTEN_ADDR_SIZE];

    apr_snprintf(buf, size, "%s%s%s:%s", cfg->prefix, begins[RELAY_KEYNAME_SLOT], cfg->name,
                 relay_listen_addr_format(addr, text, sizeof(text)));
    return buf;
}
