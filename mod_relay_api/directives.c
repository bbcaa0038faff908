/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "directives.h"
#include "person.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <http_core.h>
#include <stdlib.h>

typedef struct directive {
    const char *name, *fallback;
    apr_size_t offset;
    int least, most;
} directive;

static const directive table[] = {
#define DEFAULT(value) value
#define WITHOUT(words) NULL
#define LIMITS(least, most) least, most
#define DIRECTIVE(name, syntax, kind, member, fallback, limits, ...) \
    {#name, fallback, APR_OFFSETOF(api_conf, member), limits},
#include "directives.def"
};

enum {
#define DIRECTIVE(name, ...) AT_##name,
#include "directives.def"
};

static const char *set_place(cmd_parms *cmd, void *place, int on)
{
    ((api_conf *)place)->on = on;
    if (on)
        api_server_of(cmd->server)->wanted = 1;
    return NULL;
}

static const char *set_people(cmd_parms *cmd, void *place, const char *args)
{
    api_conf *conf = place;

    if (!conf->people)
        conf->people = apr_array_make(cmd->pool, 4, sizeof(api_person));
    return api_person_read(apr_array_push(conf->people), cmd, args);
}

static void *member_of(const cmd_parms *cmd)
{
    const directive *d = cmd->info;

    return (char *)api_server_of(cmd->server) + d->offset;
}

static const char *set_path(cmd_parms *cmd, void *place, const char *arg)
{
    const directive *d = cmd->info;
    const char *path = ap_server_root_relative(cmd->pool, arg);

    *(api_path *)member_of(cmd) = path;
    return path ? NULL : apr_pstrcat(cmd->pool, d->name, ": bad path ", arg, NULL);
}

static const char *set_number(cmd_parms *cmd, void *place, const char *arg)
{
    const directive *d = cmd->info;
    char *end;
    apr_int64_t n = apr_strtoi64(arg, &end, 10);

    if (!apr_isdigit(*arg) || *end || n < d->least || n > d->most)
        return apr_psprintf(cmd->pool, "%s: `%s' is not a number from %d to %d", d->name, arg,
                            d->least, d->most);
    *(api_number *)member_of(cmd) = (int)n;
    return NULL;
}

static const char *set_urls(cmd_parms *cmd, void *place, const char *arg)
{
    const directive *d = cmd->info;
    api_urls *urls = member_of(cmd);
    apr_uri_t uri;

    if (apr_uri_parse(cmd->pool, arg, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname ||
        strcmp(uri.scheme, "https") != 0 || uri.query || uri.fragment || uri.user)
        return apr_psprintf(cmd->pool, "%s: `%s' is not like https://api.relay.example.com",
                            d->name, arg);
    if (!*urls)
        *urls = apr_array_make(cmd->pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(*urls, const char *) = arg;
    return NULL;
}

#define COMMAND_place(name, d, text) \
    AP_INIT_FLAG(name, set_place, d, ACCESS_CONF | RSRC_CONF, text),
#define COMMAND_people(name, d, text) AP_INIT_RAW_ARGS(name, set_people, d, ACCESS_CONF, text),
#define COMMAND_path(name, d, text) AP_INIT_TAKE1(name, set_path, d, RSRC_CONF, text),
#define COMMAND_urls(name, d, text) AP_INIT_ITERATE(name, set_urls, d, RSRC_CONF, text),
#define COMMAND_number(name, d, text) AP_INIT_TAKE1(name, set_number, d, RSRC_CONF, text),

const command_rec api_directives[] = {
#define DEFAULT(value) value
#define WITHOUT(words) words
#define BRIEF(text) text
#define DIRECTIVE(name, syntax, kind, member, fallback, limits, brief, ...) \
    COMMAND_##kind(#name, (void *)&table[AT_##name], syntax "; default " fallback ". " brief)
#include "directives.def"
    {.name = NULL}};

void *api_server_create(apr_pool_t *p, server_rec *s)
{
    api_conf *conf = apr_pcalloc(p, sizeof(*conf));

    conf->on = conf->rate = -1;
    return conf;
}

void *api_place_create(apr_pool_t *p, char *place)
{
    return api_server_create(p, NULL);
}

void *api_conf_merge(apr_pool_t *p, void *base, void *add)
{
    const api_conf *before = base, *more = add;
    api_conf *conf = apr_pmemdup(p, before, sizeof(*before));

    if (more->on != -1)
        conf->on = more->on;
    if (more->rate != -1)
        conf->rate = more->rate;
    if (more->trackers)
        conf->trackers = more->trackers;
    if (more->people)
        conf->people = more->people;
    if (more->conf_file)
        conf->conf_file = more->conf_file;
    conf->wanted = before->wanted || more->wanted;
    return conf;
}

void api_conf_complete(api_conf *conf)
{
    if (conf->rate == -1)
        conf->rate = atoi(table[AT_RelayAPIRate].fallback);
}
