/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_name.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <apr_general.h>

/* The characters of labels, in lower case. */
static const char label_chars[256] = {
    ['-'] = '-', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q',
    ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's',
    ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z'};

static const char *hyphen_fault(const char *label, apr_size_t len)
{
    if (label[0] == '-' || label[len - 1] == '-')
        return "a name cannot begin or end with a hyphen";
    if (len >= 4 && label[2] == '-' && label[3] == '-')
        return "labels with hyphens in the third and fourth place, like xn--, are reserved";
    return NULL;
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
        if (!label[i] || label_chars[(unsigned char)label[i]] != label[i])
            return "a name has only the letters a-z, digits and hyphens";
    return hyphen_fault(label, len);
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
    return strcmp(label, "ssh") == 0 || strcmp(label, "www") == 0 || strcmp(label, "api") == 0;
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
    if (strncasecmp(host + len - dlen, domain, dlen) != 0)
        return RELAY_HOST_OTHER;
    len -= dlen + 1;
    if (len == 0 || len > RELAY_NAME_MAX)
        return RELAY_HOST_INVALID;
    for (i = 0; i < len; i++)
        if ((name[i] = label_chars[(unsigned char)host[i]]) == '\0')
            return RELAY_HOST_INVALID;
    name[len] = '\0';
    return hyphen_fault(name, len) ? RELAY_HOST_INVALID : RELAY_HOST_NAME;
}
