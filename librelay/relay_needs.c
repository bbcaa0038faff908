/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_needs.h"
#include "relay_service.h"

#include <ctype.h>
#include <string.h>

#define HOST_MAX 300

static char *lower_case(const char *text, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, text), *c;

    for (c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

static int is_visible(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text >= 127)
            return 0;
    return 1;
}

apr_status_t relay_needs_host_parse(const char **out, const char *text, apr_pool_t *p,
                                    const char **why)
{
    const char *host, *wrong = NULL;
    apr_uint16_t port;

    if (strlen(text) > HOST_MAX)
        wrong = "it is too long";
    else if (!is_visible(text))
        wrong = "it contains a space, a control or a non-ASCII character";
    else
        wrong = relay_authority_split(&host, &port, lower_case(text, p));
    if (wrong) {
        RELAY_WHY(why, p,
                  "`%.100s' is no host: %s; write `public', `device', or a host like nas.lan or "
                  "192.168.1.9:8443",
                  text, wrong);
        return RELAY_EINPUT;
    }
    host = strchr(host, ':') ? apr_pstrcat(p, "[", host, "]", NULL) : host;
    *out = port ? apr_psprintf(p, "%s:%u", host, port) : host;
    return APR_SUCCESS;
}

apr_status_t relay_needs_switch_parse(int *out, const char *text, apr_pool_t *p, const char **why)
{
    if (strcmp(text, "on") && strcmp(text, "off")) {
        RELAY_WHY(why, p, "`%.100s' is neither `on' nor `off'", text);
        return RELAY_EINPUT;
    }
    *out = strcmp(text, "on") == 0;
    return APR_SUCCESS;
}

/* What is wrong with the name of a protocol, a token of RFC 9110 with or without a version, or
 * NULL. After a switch to HTTP or TLS httpd would not see what the visitor asks for. */
static const char *protocol_fault(const char *name)
{
    static const char *const refused[] = {"h2c", "h2", "http", "tls", "*", "any", "none"};
    size_t len = strcspn(name, "/");
    unsigned i;

    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~/")] || len == 0 ||
        (name[len] && (!name[len + 1] || strchr(name + len + 1, '/'))))
        return "is no name of a protocol";
    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strlen(refused[i]) == len && strncmp(refused[i], name, len) == 0)
            return "is none that a device may switch to";
    return NULL;
}

apr_status_t relay_needs_upgrade_parse(const char **out, const char *text, apr_pool_t *p,
                                       const char **why)
{
    const char *names = "", *wrong = NULL, *name = text;
    char *state;

    if (strlen(text) > RELAY_UPGRADE_MAX)
        wrong = "is too long";
    else if (text[strspn(text, " ,")] == '\0' && *text)
        wrong = "is no name of a protocol";
    else
        for (name = apr_strtok(lower_case(text, p), " ,", &state); name;
             name = apr_strtok(NULL, " ,", &state)) {
            if ((wrong = protocol_fault(name)) != NULL)
                break;
            names = apr_pstrcat(p, names, *names ? " " : "", name, NULL);
        }
    if (wrong) {
        RELAY_WHY(why, p,
                  "`%.100s' %s; write names as they stand in an Upgrade field, like tcp or "
                  "tcp,spdy/3.1",
                  name, wrong);
        return RELAY_EINPUT;
    }
    *out = names;
    return APR_SUCCESS;
}
