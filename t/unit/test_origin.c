/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Whose page asks in the name of a person who is logged in. */

#include "../../mod_relay_api/origin.h"
#include "tap.h"

#define HOST "api.relay.test:8443"

static const struct {
    const char *site, *origin, *host;
    int reads, changes;
} rows[] = {
    {"same-origin", NULL, HOST, 1, 1},
    {"same-origin", "https://" HOST, HOST, 1, 1},
    /* Typed into the address bar; a page's form is never that. */
    {"none", NULL, HOST, 1, 0},
    {"none", "https://" HOST, HOST, 1, 0},
    /* A device's page, and a stranger's. */
    {"same-site", "https://nas.relay.test:8443", HOST, 0, 0},
    {"same-site", "https://" HOST, HOST, 0, 0},
    {"cross-site", "https://" HOST, HOST, 0, 0},
    {"cross-site", NULL, HOST, 0, 0},
    {"", NULL, HOST, 0, 0},
    {"Same-Origin", NULL, HOST, 0, 0},
    {"same-origin, same-origin", NULL, HOST, 0, 0},
    /* Browsers without Sec-Fetch-Site. */
    {NULL, "https://" HOST, HOST, 1, 1},
    {NULL, "HTTPS://API.relay.test:8443", HOST, 1, 1},
    {NULL, "https://api.relay.test", "api.relay.test", 1, 1},
    {NULL, "http://" HOST, HOST, 0, 0},
    {NULL, "https://api.relay.test", HOST, 0, 0},
    {NULL, "https://" HOST ".evil.test", HOST, 0, 0},
    {NULL, "https://evil.test/" HOST, HOST, 0, 0},
    {NULL, "https://nas.relay.test:8443", HOST, 0, 0},
    {NULL, "null", HOST, 0, 0},
    {NULL, "null", "null", 0, 0},
    {NULL, "", HOST, 0, 0},
    {NULL, "https://" HOST, NULL, 0, 0},
    /* No browser, or a page that was loaded by a link: it may look. */
    {NULL, NULL, HOST, 1, 0},
    {NULL, NULL, NULL, 1, 0},
};

int main(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (int changes = 0; changes < 2; changes++)
            ok(api_origin_is_own(changes, rows[i].site, rows[i].origin, rows[i].host) ==
                   (changes ? rows[i].changes : rows[i].reads),
               "Sec-Fetch-Site %s, Origin %s, Host %s, %s", rows[i].site ? rows[i].site : "-",
               rows[i].origin ? rows[i].origin : "-", rows[i].host ? rows[i].host : "-",
               changes ? "changes" : "reads");
    return done_testing();
}
