/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_tunnel_record.h"

#include <string.h>

/* The field of route i, as name.3. */
static const char *numbered(const redisReply *hash, const char *field, int i)
{
    char name[24];

    apr_snprintf(name, sizeof(name), "%s.%d", field, i);
    return relay_record_field(hash, name);
}

void relay_tunnel_record_read(relay_tunnel_record *out, const redisReply *hash)
{
    apr_int64_t n = 0;
    int i;

    memset(out, 0, sizeof(*out));
    out->id = relay_record_field(hash, "id");
    out->device = relay_record_field(hash, "device");
    out->relay = relay_record_field(hash, "relay");
    out->key = relay_record_field(hash, "key");
    out->state = relay_record_field(hash, "state");
    out->by = relay_record_field(hash, "by");
    out->tenant = relay_record_field(hash, "tenant");
    out->host = relay_record_field(hash, "host");
    out->forwarded = relay_record_field(hash, "forwarded");
    out->upgrade = relay_record_field(hash, "upgrade");
    out->old_tls = relay_record_field(hash, "old_tls");
    relay_time_parse(&out->created, relay_record_field(hash, "created"));
    relay_time_parse(&out->expires, relay_record_field(hash, "expires"));
    relay_time_parse(&out->ended, relay_record_field(hash, "ended"));
    if (relay_number_parse(&n, relay_record_field(hash, "routes"), 4) &&
        n <= RELAY_TUNNEL_ROUTES_MAX)
        out->nroutes = (int)n;
    for (i = 0; i < out->nroutes; i++) {
        out->routes[i].name = numbered(hash, "name", i);
        out->routes[i].service = numbered(hash, "service", i);
        relay_form_listen(&out->routes[i].listen, numbered(hash, "listen", i), NULL);
    }
}
