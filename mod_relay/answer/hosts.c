/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "hosts.h"

#include <apr_lib.h>
#include <arpa/inet.h>
#include <string.h>

static int hex(char c)
{
    return apr_isdigit(c) ? c - '0' : apr_isxdigit(c) ? apr_tolower(c) - 'a' + 10 : -1;
}

/* ---- IPv4: up to four numbers, of which the last fills what is left: 192.168.265 */

/* A number, decimal, octal or hexadecimal. @return 0 if it is none; too large ones become 2^32 */
static int read_number(const char *at, const char *end, apr_uint64_t *n)
{
    int base = 10;

    if (at == end)
        return 0;
    if (end - at >= 2 && at[0] == '0') {
        base = apr_tolower(at[1]) == 'x' ? 16 : 8;
        at += base == 16 ? 2 : 1;
    }
    for (*n = 0; at < end; at++) {
        int digit = hex(*at);

        if (digit < 0 || digit >= base)
            return 0;
        *n = *n * (apr_uint64_t)base + (apr_uint64_t)digit;
        if (*n > 0xffffffffu)
            *n = (apr_uint64_t)1 << 32;
    }
    return 1;
}

/* The name's last part decides: a number there, and the whole must be an address. */
static int ends_in_number(const char *name, apr_size_t length)
{
    const char *end = name + length, *last = end;
    apr_uint64_t n;

    while (last > name && last[-1] != '.')
        last--;
    return last < end &&
           (strspn(last, "0123456789") == (apr_size_t)(end - last) || read_number(last, end, &n));
}

static int read_ipv4(mod_relay_host *host)
{
    const char *at = host->name, *end = at + host->length, *stop;
    apr_uint64_t address = 0, n;
    int parts = 0;

    for (;; at = stop + 1, parts++) {
        stop = memchr(at, '.', (apr_size_t)(end - at));
        if (parts == 4 || !read_number(at, stop ? stop : end, &n))
            return 0;
        if (!stop)
            break;
        if (n > 255)
            return 0;
        address |= n << (24 - 8 * parts);
    }
    if (n >= (apr_uint64_t)1 << (32 - 8 * parts))
        return 0;
    address |= n;
    host->bytes = 4;
    for (parts = 0; parts < 4; parts++)
        host->address[parts] = (unsigned char)(address >> (24 - 8 * parts));
    return 1;
}

/* ---- IPv6 */

/* name is the address without its brackets. Browsers refuse the zone in `fe80::1%eth0`, others know
 * it. */
static int read_ipv6(mod_relay_host *host)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    host->name[strcspn(host->name, "%")] = '\0';
    if (inet_pton(AF_INET6, host->name, host->address) != 1)
        return 0;
    host->bytes = 16;
    if (memcmp(host->address, mapped, sizeof(mapped)) == 0) {
        memmove(host->address, host->address + 12, 4);
        host->bytes = 4;
    }
    return 1;
}

/* ---- any host */

/* The character at *at, with %XX undone; *at moves on. @return 0 if no host has it */
static char read_character(const char **at, const char *end, int escapes)
{
    char c = *(*at)++;
    int i, digit, code = 0;

    for (i = 0; i < 2 && c == '%' && escapes; i++, ++*at) {
        if ((*at = mod_relay_past_removed(*at, end)) == end || (digit = hex(**at)) < 0)
            return 0;
        code = code * 16 + digit;
    }
    if (i && code == '%')
        return 0;
    c = i ? (char)code : c;
    return apr_isascii(c) && apr_isgraph(c) && !strchr("#/<>?@[\\]^|", c) ? c : 0;
}

/* Into host->name, in lower case. @return 0 if it is too long or no host */
static int copy(mod_relay_host *host, const char *at, const char *end, int escapes)
{
    apr_size_t n = 0;
    char c;

    while ((at = mod_relay_past_removed(at, end)) < end) {
        if (n == MOD_RELAY_HOST_MAX || (c = read_character(&at, end, escapes)) == 0)
            return 0;
        host->name[n++] = (char)apr_tolower(c);
    }
    host->name[n] = '\0';
    host->length = n;
    return n > 0;
}

int mod_relay_host_read(mod_relay_host *host, const char *text, apr_size_t length)
{
    const char *end = text + length;

    host->bytes = 0;
    if ((text = mod_relay_past_removed(text, end)) < end && *text == '[') {
        while (mod_relay_past_removed(end - 1, end) == end)
            end--;
        return end[-1] == ']' && copy(host, text + 1, end - 1, 0) && read_ipv6(host);
    }
    if (!copy(host, text, end, 1) || strchr(host->name, ':'))
        return 0;
    if (host->length > 1 && host->name[host->length - 1] == '.')
        host->name[--host->length] = '\0';
    return !ends_in_number(host->name, host->length) || read_ipv4(host);
}

int mod_relay_host_is(const mod_relay_host *a, const mod_relay_host *b)
{
    if (a->bytes != b->bytes)
        return 0;
    return a->bytes ? memcmp(a->address, b->address, (apr_size_t)a->bytes) == 0
                    : strcmp(a->name, b->name) == 0;
}

int mod_relay_host_is_under(const mod_relay_host *host, const char *name)
{
    apr_size_t length = strlen(name);
    const char *tail;

    if (host->bytes || host->length < length)
        return 0;
    tail = host->name + host->length - length;
    return strcmp(tail, name) == 0 && (tail == host->name || tail[-1] == '.');
}

static int is_near_ipv4(const unsigned char *a)
{
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || (a[0] == 100 && (a[1] & 0xc0) == 64) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168);
}

static int is_near_ipv6(const unsigned char *a)
{
    static const unsigned char zeros[15];

    /* `::` and `::1`; fc00::/7; fe80::/10, and fec0::/10 of before 2004 */
    return (memcmp(a, zeros, sizeof(zeros)) == 0 && a[15] <= 1) || (a[0] & 0xfe) == 0xfc ||
           (a[0] == 0xfe && (a[1] & 0x80));
}

int mod_relay_host_is_near(const mod_relay_host *host)
{
    apr_size_t label;

    if (host->bytes)
        return host->bytes == 4 ? is_near_ipv4(host->address) : is_near_ipv6(host->address);
    label = strcspn(host->name, ".");
    return mod_relay_host_is_under(host, "localhost") ||
           (label > 0 && strcmp(host->name + label, ".local") == 0);
}
