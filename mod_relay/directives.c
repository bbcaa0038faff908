/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "directives.h"
#include "relay_duration.h"

#include <apr_lib.h>
#include <http_core.h>

#define ANY 0
#define COOLDOWN (-1)

typedef struct directive directive;

/* The values of a directive: how they are read and kept. */
typedef struct kind {
    apr_size_t size;     /* of the member */
    unsigned char unset; /* each byte of a member that was not given: it is -1, or NULL */
    /* @return NULL, or an error for people; the member may be set all the same */
    const char *(*read)(const directive *d, void *member, const char *arg, apr_pool_t *p);
    /* NULL: a virtual host's own value replaces the server's */
    void (*join)(void *member, const void *base, const void *add, apr_pool_t *p);
} kind;

struct directive {
    const char *name;
    const kind *kind;
    apr_size_t offset;
    const char *fallback; /* the default, as a configuration would have it, or NULL */
    apr_int64_t least, most;
};

/* ---- kinds */

static const char *read_flag(const directive *d, void *member, const char *arg, apr_pool_t *p)
{
    *(mod_relay_flag *)member = strcmp(arg, "on") == 0;
    return NULL;
}

/* A number from least to most, and after it `rest` or nothing. */
static int scan_number(const char *arg, apr_int64_t least, apr_int64_t most, const char *rest,
                       int *out)
{
    char *end;
    apr_int64_t n = apr_strtoi64(arg, &end, 10);

    if (!apr_isdigit(*arg) || strcmp(end, rest) || n < least || n > most)
        return 0;
    *out = (int)n;
    return 1;
}

static const char *read_number(const directive *d, void *member, const char *arg, apr_pool_t *p)
{
    if (scan_number(arg, d->least, d->most, "", member))
        return NULL;
    return apr_psprintf(p, "%s: `%s' is not a number from %d%s to %d", d->name, arg, (int)d->least,
                        d->least ? "" : " (none)", (int)d->most);
}

static const char *read_part(const directive *d, void *member, const char *arg, apr_pool_t *p)
{
    mod_relay_part *part = member;

    part->number = part->percent = -1;
    if (scan_number(arg, d->least, d->most, "", &part->number) ||
        scan_number(arg, 1, 100, "%", &part->percent))
        return NULL;
    return apr_psprintf(p,
                        "%s: `%s' is neither a number from %d (no limit) to %d nor a share of "
                        "MaxRequestWorkers from 1%% to 100%%",
                        d->name, arg, (int)d->least, (int)d->most);
}

static const char *read_span(const directive *d, void *member, const char *arg, apr_pool_t *p)
{
    mod_relay_span *span = member;
    const char *why;

    if (relay_duration_parse(span, arg, p, &why) != APR_SUCCESS)
        return apr_pstrcat(p, d->name, ": ", why, NULL);
    return *span < d->least ? apr_pstrcat(p, d->name, " must be longer than 0", NULL) : NULL;
}

static const char *read_path(const directive *d, void *member, const char *arg, apr_pool_t *p)
{
    mod_relay_path *path = member;

    *path = ap_server_root_relative(p, arg);
    return *path ? NULL : apr_pstrcat(p, d->name, ": bad path ", arg, NULL);
}

static const char *read_name(const directive *d, void *member, const char *arg, apr_pool_t *p)
{
    mod_relay_names *names = member;

    if (!*arg || arg[strcspn(arg, "=;, \t\"")])
        return apr_pstrcat(p, d->name, ": `", arg,
                           "' is no name of a cookie: give names, which may end in *, with "
                           "blanks between them",
                           NULL);
    if (!*names)
        *names = apr_array_make(p, 4, sizeof(const char *));
    APR_ARRAY_PUSH(*names, const char *) = arg;
    return NULL;
}

static void join_names(void *member, const void *base, const void *add, apr_pool_t *p)
{
    mod_relay_names *names = member;
    const mod_relay_names *before = base, *more = add;

    *names = *before && *more ? apr_array_append(p, *before, *more) : *more ? *more : *before;
}

static const kind kind_flag = {sizeof(mod_relay_flag), 0xff, read_flag, NULL};
static const kind kind_number = {sizeof(mod_relay_number), 0xff, read_number, NULL};
static const kind kind_part = {sizeof(mod_relay_part), 0xff, read_part, NULL};
static const kind kind_span = {sizeof(mod_relay_span), 0xff, read_span, NULL};
static const kind kind_path = {sizeof(mod_relay_path), 0, read_path, NULL};
static const kind kind_names = {sizeof(mod_relay_names), 0, read_name, join_names};

/* ---- the table */

static const directive table[] = {
#define DEFAULT(value) value
#define WITHOUT(words) NULL
#define LIMITS(least, most) least, most
#define DIRECTIVE(name, syntax, kind, member, fallback, limits, ...) \
    {#name, &kind_##kind, APR_OFFSETOF(mod_relay_server, member), fallback, limits},
#include "directives.def"
};

enum {
#define DIRECTIVE(name, ...) AT_##name,
#include "directives.def"
    DIRECTIVES
};

static void *member_of(mod_relay_server *conf, const directive *d)
{
    return (char *)conf + d->offset;
}

static int is_given(const directive *d, const void *member)
{
    const unsigned char *byte = member;
    apr_size_t i;

    for (i = 0; i < d->kind->size; i++)
        if (byte[i] != d->kind->unset)
            return 1;
    return 0;
}

static const char *set(cmd_parms *cmd, void *dummy, const char *arg)
{
    const directive *d = cmd->info;

    return d->kind->read(d, member_of(mod_relay_server_of(cmd->server), d), arg, cmd->pool);
}

/* httpd itself reads the argument of a flag. */
static const char *set_flag(cmd_parms *cmd, void *dummy, int on)
{
    *(mod_relay_flag *)member_of(mod_relay_server_of(cmd->server), cmd->info) = on;
    return NULL;
}

#define COMMAND_flag(name, d, text) AP_INIT_FLAG(name, set_flag, d, RSRC_CONF, text),
#define COMMAND_number(name, d, text) AP_INIT_TAKE1(name, set, d, RSRC_CONF, text),
#define COMMAND_part(name, d, text) AP_INIT_TAKE1(name, set, d, RSRC_CONF, text),
#define COMMAND_span(name, d, text) AP_INIT_TAKE1(name, set, d, RSRC_CONF, text),
#define COMMAND_path(name, d, text) AP_INIT_TAKE1(name, set, d, RSRC_CONF, text),
#define COMMAND_names(name, d, text) AP_INIT_ITERATE(name, set, d, RSRC_CONF, text),

const command_rec mod_relay_directives[] = {
#define DEFAULT(value) value
#define WITHOUT(words) words
#define BRIEF(text) text
#define DIRECTIVE(name, syntax, kind, member, fallback, limits, brief, ...) \
    COMMAND_##kind(#name, (void *)&table[AT_##name], syntax "; default " fallback ". " brief)
#include "directives.def"
    {.name = NULL}};

/* ---- a server's settings */

void *mod_relay_server_create(apr_pool_t *p, server_rec *s)
{
    mod_relay_server *conf = apr_pcalloc(p, sizeof(*conf));
    int i;

    for (i = 0; i < DIRECTIVES; i++)
        memset(member_of(conf, &table[i]), table[i].kind->unset, table[i].kind->size);
    return conf;
}

void *mod_relay_server_merge(apr_pool_t *p, void *base, void *add)
{
    mod_relay_server *conf = mod_relay_server_create(p, NULL);
    int i;

    for (i = 0; i < DIRECTIVES; i++) {
        const directive *d = &table[i];
        void *before = member_of(base, d), *more = member_of(add, d);

        if (d->kind->join)
            d->kind->join(member_of(conf, d), before, more, p);
        else
            memcpy(member_of(conf, d), is_given(d, more) ? more : before, d->kind->size);
    }
    return conf;
}

/*
 * An address that was one device's may be another's after the cooldown. Nothing may be remembered
 * for so long.
 */
static int is_below_cooldown(const directive *d, mod_relay_span span, apr_interval_time_t cooldown,
                             const char *file, server_rec *s, apr_pool_t *p)
{
    if (d->most != COOLDOWN || span < cooldown)
        return 1;
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s,
                 "RLY104 %s (%s) must be shorter than [relay] cooldown (%s) in %s: a cache that "
                 "outlives the cooldown could send a request to another device. Shorten the first "
                 "or lengthen the second.",
                 d->name, relay_duration_print(span, p), relay_duration_print(cooldown, p), file);
    return 0;
}

int mod_relay_server_complete(mod_relay_server *conf, apr_interval_time_t cooldown,
                              const char *file, server_rec *s, apr_pool_t *p)
{
    int i;

    for (i = 0; i < DIRECTIVES; i++) {
        const directive *d = &table[i];
        void *member = member_of(conf, d);
        mod_relay_span *span = d->kind == &kind_span ? member : NULL;

        if (!is_given(d, member) && d->fallback) {
            d->kind->read(d, member, d->fallback, p);
            if (span && d->most == COOLDOWN && *span > cooldown / 2)
                *span = cooldown / 2;
        }
        if (span && !is_below_cooldown(d, *span, cooldown, file, s, p))
            return 0;
    }
    return 1;
}
