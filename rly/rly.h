/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * rly, the operator's command. One command a file (cmd_*.c), each a function that gets its own
 * arguments and returns the program's exit status. One pool lives as long as the program.
 */
#ifndef RLY_H
#define RLY_H

#include "relay_config.h"
#include "relay_store.h"
#include "relay_tunnel.h"

/* The exit status, which people script against. A command that did several things ends with the
 * highest. */
#define RLY_DONE 0
#define RLY_REFUSED 1
#define RLY_USAGE 2
#define RLY_UNREACHABLE 3

typedef struct rly_command rly_command;

typedef struct rly {
    apr_pool_t *p;
    const char *conf_path; /* -c; NULL: RELAY_CONF or the default */
    const char *api_url;   /* --api; NULL: RELAY_API or rly.conf */
    const char *cacert;    /* --cacert, or NULL */
    const rly_command *command;
    /* After rly_connect(): */
    const struct rly_way *way; /* way.h */
    relay_config *cfg;         /* over the API: what that has told so far */
    relay_store *store;        /* over the API: NULL */
    struct rly_api_state *api; /* to Redis: NULL */
    apr_array_header_t *open;  /* relay_tunnel *, all open tunnels; NULL until a word needs them */
} rly;

struct rly_command {
    const char *name;
    const char *summary;  /* for `rly help` */
    const char *takes;    /* the letters of its options, besides those of all; options.def */
    const char *usage;    /* the arguments, in one line */
    const char *about;    /* paragraphs, for `rly help NAME` and rly(1) */
    const char *examples; /* lines, or NULL */
    int (*run)(rly *r, int argc, const char *const *argv); /* argv[0] is `rly` */
};

extern const rly_command rly_cmd_open, rly_cmd_close, rly_cmd_extend, rly_cmd_show, rly_cmd_list,
    rly_cmd_token, rly_cmd_code, rly_cmd_device, rly_cmd_relay, rly_cmd_events, rly_cmd_help;

/** All commands, ended by NULL. */
extern const rly_command *const rly_commands[];

/** The command of that name, or NULL. */
const rly_command *rly_command_find(const char *name);

/** Chooses the way: reads relay.conf and makes the store, or reads rly.conf and makes ready to ask
 * the API. @return RLY_DONE, or an exit status after an error message */
int rly_connect(rly *r);

/** The exit status that a librelay error means. */
int rly_exit_status(apr_status_t rv);

/** `rly: message` on stderr, free of control characters. */
void rly_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** The same, with a hint where the command's help is. @return RLY_USAGE */
int rly_usage_error(const rly *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The operator's name for the records: `user@host`; behind sudo the user who called it. */
const char *rly_operator(apr_pool_t *p);

#endif
