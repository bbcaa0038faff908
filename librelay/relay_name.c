/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_name.h"

#include <ctype.h>
#include <string.h>
#include <apr_general.h>

static int is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* Says why a label cannot be a name; NULL when it can. */
static const char *label_fault(const char *label, apr_size_t len)
{
    apr_size_t i;

    if (len == 0)
        return "a name cannot be empty";
    if (len > RELAY_NAME_MAX)
        return "a name has at most 63 characters";
    for (i = 0; i < len; i++)
        if (!is_label_char(label[i]))
            return "a name has only the letters a-z, digits and hyphens";
    if (label[0] == '-' || label[len - 1] == '-')
        return "a name cannot begin or end with a hyphen";
    if (len >= 4 && label[2] == '-' && label[3] == '-')
        return "labels with hyphens in the third and fourth place, like xn--, are reserved";
    return NULL;
}

apr_status_t relay_name_check(const char *label, apr_size_t len, apr_pool_t *p, const char **why)
{
    const char *fault = label_fault(label, len);

    if (!fault)
        return APR_SUCCESS;
    RELAY_WHY(why, p, "%s", fault);
    return RELAY_EINPUT;
}

int relay_name_is_reserved(const char *label)
{
    return strcmp(label, "ssh") == 0 || strcmp(label, "www") == 0;
}

apr_status_t relay_name_random(char *out)
{
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char bytes[RELAY_NAME_RANDOM_LEN];
    apr_status_t rv = apr_generate_random_bytes(bytes, sizeof(bytes));
    int i;

    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < RELAY_NAME_RANDOM_LEN; i++)
        out[i] = base32[bytes[i] & 31];
    out[RELAY_NAME_RANDOM_LEN] = '\0';
    return APR_SUCCESS;
}

static apr_size_t without_port(const char *host, apr_size_t len)
{
    apr_size_t n = len;

    while (n && isdigit((unsigned char)host[n - 1]))
        n--;
    return n && host[n - 1] == ':' ? n - 1 : len;
}

relay_host_kind relay_name_from_host(char *name, const char *host, apr_size_t len,
                                     const char *domain)
{
    apr_size_t dlen = strlen(domain), i;

    len = without_port(host, len);
    if (len && host[len - 1] == '.')
        len--;
    /* Longer than any name under our domain, yet perhaps with its suffix: cannot be a DNS name at
     * all. */
    if (len <= dlen || host[len - dlen - 1] != '.')
        return RELAY_HOST_OTHER;
    for (i = 0; i < dlen; i++)
        if (tolower((unsigned char)host[len - dlen + i]) != domain[i])
            return RELAY_HOST_OTHER;
    len -= dlen + 1;
    if (len > RELAY_NAME_MAX)
        return RELAY_HOST_INVALID;
    for (i = 0; i < len; i++)
        name[i] = (char)tolower((unsigned char)host[i]);
    name[len] = '\0';
    return label_fault(name, len) ? RELAY_HOST_INVALID : RELAY_HOST_NAME;
}
