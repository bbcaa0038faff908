/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_service.h"

#include <apr_lib.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

static const struct {
    const char *scheme;
    apr_uint16_t port; /* 0: has to be given */
} schemes[] = {{"http", 80}, {"https", 443}, {"h2c", 80}, {"tcp", 0}};

#define NSCHEMES (sizeof(schemes) / sizeof(schemes[0]))

int relay_scheme_is_known(const char *scheme)
{
    unsigned i;

    for (i = 0; i < NSCHEMES; i++)
        if (strcmp(scheme, schemes[i].scheme) == 0)
            return 1;
    return 0;
}

int relay_scheme_is_web(const char *scheme)
{
    return relay_scheme_is_known(scheme) && strcmp(scheme, "tcp");
}

/* A port number from 1; digits only, to the end of the text. */
static int parse_port(const char *text, apr_uint16_t *out)
{
    apr_uint32_t n = 0;
    const char *c;

    for (c = text; isdigit((unsigned char)*c) && n <= 65535; c++)
        n = n * 10 + (apr_uint32_t)(*c - '0');
    if (c == text || *c || n == 0 || n > 65535)
        return 0;
    *out = (apr_uint16_t)n;
    return 1;
}

/* A DNS name or an IPv4 address; what else looks like one is left to the device's resolver. */
static int host_is_plausible(const char *host)
{
    apr_size_t len = strlen(host), label = 0;
    const char *c;

    if (len == 0 || len > 253)
        return 0;
    for (c = host; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return 0;
            label = 0;
            continue;
        }
        if (!isalnum((unsigned char)*c) && *c != '_' && (*c != '-' || label == 0))
            return 0;
        if (++label > 63)
            return 0;
    }
    /* All digits and dots must be an address: `1.2.3` would mean something
     * else to every resolver. */
    if (host[strspn(host, "0123456789.")] == '\0') {
        struct in_addr a;
        return inet_pton(AF_INET, host, &a) == 1;
    }
    return host[len - 1] != '-' && host[len - 1] != '.';
}

const char *relay_authority_split(const char **host, apr_uint16_t *port, char *authority)
{
    const char *digits = NULL;
    char *end;

    *port = 0;
    if (*authority == '[') {
        struct in6_addr a;

        if ((end = strchr(authority, ']')) == NULL)
            return "the bracket of the IPv6 address is not closed";
        *end++ = '\0';
        *host = authority + 1;
        if (inet_pton(AF_INET6, *host, &a) != 1)
            return "what stands in brackets is not an IPv6 address";
        if (*end && *end != ':')
            return "after the host only a port may follow";
        if (*end)
            digits = end + 1;
    }
    else {
        if ((end = strchr(authority, ':')) != NULL) {
            *end = '\0';
            digits = end + 1;
        }
        *host = authority;
        if (!host_is_plausible(authority))
            return "the host is neither a DNS name nor an IP address";
    }
    return digits && !parse_port(digits, port) ? "a port is a number from 1 to 65535" : NULL;
}

static const char *parse(relay_service *sv, const char *text, apr_pool_t *p)
{
    const char *sep, *wrong, *c;
    char *authority;
    unsigned i;
    int v6;

    for (c = text; *c; c++)
        if (*c <= ' ' || *c >= 127)
            return "it contains a space, a control or a non-ASCII character";
    if (strlen(text) > 300)
        return "it is too long";
    if (text[0] && text[strspn(text, "0123456789")] == '\0') {
        if (!parse_port(text, &sv->port))
            return "a port is a number from 1 to 65535";
        text = apr_psprintf(p, "http://127.0.0.1:%u", sv->port);
    }
    if ((sep = strstr(text, "://")) == NULL)
        return "write a URL like http://127.0.0.1:80, https://192.168.1.9, h2c://10.0.0.2:50051 or "
               "tcp://127.0.0.1:22, or a port number alone";
    sv->scheme = apr_pstrmemdup(p, text, (apr_size_t)(sep - text));
    for (c = sv->scheme; *c; c++)
        ((char *)sv->scheme)[c - sv->scheme] = (char)tolower((unsigned char)*c);
    for (i = 0; i < NSCHEMES && strcmp(sv->scheme, schemes[i].scheme); i++)
        ;
    if (i == NSCHEMES)
        return "the scheme must be http, https, h2c or tcp";
    authority = apr_pstrdup(p, sep + 3);
    for (c = authority; *c; c++)
        authority[c - authority] = (char)tolower((unsigned char)*c);
    if (strpbrk(authority, "?#@\\"))
        return "user, query and fragment cannot be part of a service";
    if ((c = strchr(authority, '/')) != NULL) {
        if (c[1])
            return "a path cannot be part of a service: leave it out";
        authority[c - authority] = '\0';
    }
    if ((wrong = relay_authority_split(&sv->host, &sv->port, authority)) != NULL)
        return wrong;
    if (!sv->port && (sv->port = schemes[i].port) == 0)
        return "tcp:// needs a port, like tcp://127.0.0.1:22";
    v6 = strchr(sv->host, ':') != NULL;
    sv->target = apr_psprintf(p, v6 ? "[%s]:%u" : "%s:%u", sv->host, sv->port);
    if (sv->port == schemes[i].port)
        sv->url = apr_psprintf(p, v6 ? "%s://[%s]" : "%s://%s", sv->scheme, sv->host);
    else
        sv->url = apr_pstrcat(p, sv->scheme, "://", sv->target, NULL);
    return NULL;
}

apr_status_t relay_service_parse(relay_service **out, const char *text, apr_pool_t *p,
                                 const char **why)
{
    relay_service *sv = apr_pcalloc(p, sizeof(*sv));
    const char *wrong = parse(sv, text, p);

    if (wrong) {
        RELAY_WHY(why, p, "`%.100s' is not a service: %s", text, wrong);
        return RELAY_EINPUT;
    }
    *out = sv;
    return APR_SUCCESS;
}
