/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bundle.h"
#include "options.h"
#include "output.h"
#include "relay_connect.h"
#include "relay_print.h"
#include "relay_tunnel_json.h"
#include "way.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_MAX 16384

/* One `rly open`, as it goes. */
typedef struct opening {
    rly *r;
    rly_options o;
    relay_key *key;
    rly_wish wish;
    rly_bundle *bundle;
    const char *bundle_path; /* NULL: none is made */
    relay_tunnel *tunnel;
} opening;

/* Says what is wrong in words of the command line. */
static int wrong_order(const opening *op, const relay_order *order, const relay_order_fault *fault)
{
    switch (fault->word) {
    case RELAY_ORDER_NAMES:
        return rly_usage_error(op->r, "%d names (-n) are given for %d service%s", order->nnames,
                               order->nservices, order->nservices == 1 ? "" : "s");
    case RELAY_ORDER_NAME:
        return rly_usage_error(op->r, "-n %s: %s", order->names[fault->index], fault->why);
    case RELAY_ORDER_HOST:
        return rly_usage_error(op->r, "--host: %s", fault->why);
    case RELAY_ORDER_FORWARDED:
        return rly_usage_error(op->r, "--forwarded: %s", fault->why);
    case RELAY_ORDER_UPGRADE:
        return rly_usage_error(op->r, "--upgrade: %s", fault->why);
    default:
        return rly_usage_error(op->r, "%s", fault->why);
    }
}

static int check_order(opening *op)
{
    const rly_options *o = &op->o;
    relay_order order = {.nservices = o->noperands,
                         .services = o->operands,
                         .nnames = o->names->nelts,
                         .names = (const char *const *)o->names->elts,
                         .host = o->host,
                         .forwarded = o->forwarded,
                         .upgrade = o->upgrade,
                         .old_tls = o->old_tls};
    relay_order_fault fault;

    if (relay_order_check(&op->wish.req, &order, op->r->p, &fault) != APR_SUCCESS)
        return wrong_order(op, &order, &fault);
    op->wish.order = apr_pmemdup(op->r->p, &order, sizeof(order));
    return RLY_DONE;
}

static apr_status_t read_stdin(relay_key **key, apr_pool_t *p, const char **why)
{
    char *text = apr_palloc(p, KEY_FILE_MAX + 1);
    const char *reason = NULL;
    size_t len = fread(text, 1, KEY_FILE_MAX + 1, stdin);
    apr_status_t rv = relay_key_parse(key, text, len, p, &reason);

    if (rv != APR_SUCCESS)
        RELAY_WHY(why, p, "standard input: %s", reason);
    return rv;
}

static int get_key(opening *op)
{
    const char *why = NULL;
    apr_status_t rv;

    if (!op->o.key)
        rv = relay_key_generate(&op->key, op->r->p, &why);
    else if (strcmp(op->o.key, "-") == 0)
        rv = read_stdin(&op->key, op->r->p, &why);
    else
        rv = relay_key_read(&op->key, op->o.key, op->r->p, &why);
    if (rv == APR_SUCCESS)
        return RLY_DONE;
    rly_error("%s", why);
    return RLY_REFUSED; /* the command was right, the file's content is not */
}

/* The private half of a key that was read, where it lies beside the public one on this machine. */
static const char *private_file(const opening *op)
{
    size_t len = op->o.key ? strlen(op->o.key) : 0;
    char path[PATH_MAX];

    if (len < 5 || strcmp(op->o.key + len - 4, ".pub") != 0 ||
        !realpath(apr_pstrmemdup(op->r->p, op->o.key, len - 4), path))
        return NULL;
    return apr_pstrdup(op->r->p, path);
}

static int prepare_bundle(opening *op)
{
    rly_bundle_request req = {
        .dir = op->o.dir, .key = op->key, .private_file = private_file(op), .tls = op->o.tls};
    const char *why = NULL;
    apr_status_t rv = op->r->way->prepare(op->r, &op->wish, &why);

    if (rv != APR_SUCCESS) {
        rly_error(rv == RELAY_EUNREACHABLE
                      ? "%s"
                      : "cannot pin the relay's host key in a bundle: %s; start rlyd, or set "
                        "[rlyd] sshd-config to sshd's configuration",
                  why);
        return rly_exit_status(rv);
    }
    if (rly_bundle_prepare(&op->bundle, &req, op->r->p, &why) != APR_SUCCESS) {
        rly_error("%s", why);
        return RLY_REFUSED;
    }
    return RLY_DONE;
}

/* Nobody was given the tunnel's key, so it is of no use: closes it. */
static void take_back(const opening *op, const char *reason)
{
    const char *why = NULL;

    if (op->r->way->close(op->r, op->tunnel, &why) == APR_SUCCESS)
        rly_error("%s; tunnel %s, which was open already, is closed again", reason, op->tunnel->id);
    else
        rly_error(
            "%s; tunnel %s is open and could not be closed again: %s. Close it with: rly close %s",
            reason, op->tunnel->id, why, op->tunnel->id);
}

static int open_tunnel(opening *op)
{
    rly *r = op->r;
    const char *why = NULL;
    apr_status_t rv = r->way->open(&op->tunnel, r, &op->wish, &why);

    if (rv != APR_SUCCESS) {
        rly_bundle_abandon(op->bundle);
        rly_error("%s", why ? why : "the tunnel could not be opened");
        return rly_exit_status(rv);
    }
    if (op->bundle && rly_bundle_finish(op->bundle, r->cfg, op->tunnel, op->wish.hostkeys,
                                        &op->bundle_path, &why) != APR_SUCCESS) {
        take_back(op, why);
        return RLY_REFUSED;
    }
    return RLY_DONE;
}

static const char *ssh_command(const opening *op)
{
    apr_pool_t *p = op->r->p;

    if (op->bundle_path)
        return apr_psprintf(p, "ssh -N -F %s relay",
                            relay_print_shell(apr_pstrcat(p, op->bundle_path, "/config", NULL), p));
    return relay_connect_command(op->r->cfg, op->tunnel, op->o.tls, p);
}

static void add_note(json_t **notes, const char *kind, const char *note, apr_pool_t *p)
{
    if (!note)
        return;
    rly_error("%s: %s", kind, note);
    if (!*notes)
        *notes = json_array();
    json_array_append_new(*notes, relay_json_text(note, p));
}

/* A note is about a service, and its sentence is known here, too. */
static int is_note(const relay_tunnel *t, const char *sentence, apr_pool_t *p)
{
    const char *note;

    for (int i = 0; i < t->nroutes; i++)
        if ((note = relay_connect_note(t->routes[i].service, t->needs.host, p)) != NULL &&
            strcmp(note, sentence) == 0)
            return 1;
    return 0;
}

/* Warnings about names that had an owner before, and notes on services, as JSON; NULL where there
 * are none. */
static json_t *notes_json(const opening *op)
{
    const relay_tunnel *t = op->tunnel;
    const apr_array_header_t *told = op->wish.notes;
    apr_pool_t *p = op->r->p;
    json_t *notes = NULL;

    for (int i = 0; told && i < told->nelts; i++) {
        const char *sentence = APR_ARRAY_IDX(told, i, const char *);

        add_note(&notes, is_note(t, sentence, p) ? "note" : "warning", sentence, p);
    }
    if (told)
        return notes;
    for (int i = 0; i < t->nroutes; i++) {
        const relay_tunnel_route *route = &t->routes[i];

        add_note(&notes, "warning",
                 relay_handover_note(&route->handover, route->name, t->device, p), p);
        add_note(&notes, "note", relay_connect_note(route->service, t->needs.host, p), p);
    }
    return notes;
}

static int print_json(const opening *op)
{
    json_t *notes = notes_json(op);
    json_t *json = relay_opened_json(op->r->cfg, op->tunnel, ssh_command(op), op->o.tls,
                                     op->bundle_path, op->r->p);

    if (notes)
        json_object_set_new(json, "warnings", notes);
    return rly_json_print(json);
}

/* Says where the command belongs that was printed. */
static void print_hint(const opening *op)
{
    if (!op->bundle_path)
        printf("\nOn the device, with its own key:\n");
    else if (op->o.key)
        printf("\nWith the device's private key as id_relay in the bundle, or in an ssh agent:\n");
    else
        printf("\nTo connect:\n");
    printf("  %s\n", relay_print_clean(ssh_command(op), op->r->p));
    if (op->bundle_path)
        printf(
            "or on the device, in a copy of the bundle, to connect and stay connected:\n  ./run\n");
}

static int print_text(const opening *op)
{
    const relay_tunnel *t = op->tunnel;
    apr_pool_t *p = op->r->p;
    rly_table *table = rly_table_create(p, 2, NULL);

    rly_table_add(table, (const char *[]){"Tunnel", t->id});
    if (*t->device)
        rly_table_add(table, (const char *[]){"Device", t->device});
    rly_table_add(table, (const char *[]){"Ends", rly_time_both(t->expires, t->created, p)});
    for (int i = 0; i < t->nroutes; i++) {
        const relay_tunnel_route *route = &t->routes[i];
        const char *url = relay_connect_url(op->r->cfg, route, p);

        rly_table_add(
            table,
            (const char *[]){url ? "URL" : "Listen",
                             apr_pstrcat(p, url ? url : relay_listen_addr_print(route->listen, p),
                                         "  for ", route->service, NULL)});
    }
    if (op->bundle_path)
        rly_table_add(table, (const char *[]){"Bundle", op->bundle_path});
    rly_table_print(table);
    print_hint(op);
    json_decref(notes_json(op));
    return RLY_DONE;
}

static int run(rly *r, int argc, const char *const *argv)
{
    opening op = {.r = r};
    relay_tunnel_request *req = &op.wish.req;
    int status = rly_options_parse(&op.o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (op.o.help)
        return rly_help_print(r->command);
    if (op.o.noperands == 0)
        return rly_usage_error(
            r,
            "which service of the device? Give at least one, for example 80 or https://127.0.0.1");
    if ((status = check_order(&op)) != RLY_DONE || (status = rly_connect(r)) != RLY_DONE ||
        (status = get_key(&op)) != RLY_DONE)
        return status;
    req->device = op.o.device;
    req->ttl = op.o.ttl;
    req->fingerprint = op.key->fingerprint;
    req->take_over = op.o.take_over;
    op.wish.key = op.key;
    op.wish.tls = op.o.tls;
    if ((!op.o.key || op.o.dir) && (status = prepare_bundle(&op)) != RLY_DONE)
        return status;
    if ((status = open_tunnel(&op)) != RLY_DONE)
        return status;
    status = op.o.json ? print_json(&op) : print_text(&op);
    if (fflush(stdout) != 0) { /* main() says why */
        rly_error("tunnel %s is open, but its URL could not be printed; see: rly show %s",
                  op.tunnel->id, op.tunnel->id);
        status = RLY_REFUSED;
    }
    return status;
}

const rly_command rly_cmd_open = {
    .name = "open",
    .summary = "open a tunnel for a device",
    .takes = "ntdkoHFULOTj",
    .usage = "[-n NAME]... [-t TTL] [-d DEVICE] [-k PUBKEY] [-o DIR] [--host HOST] "
             "[--forwarded on|off] [--upgrade PROTOCOL] [--old-tls] [--take-over] [--tls] "
             "[--json] SERVICE...",
    .about = "Opens a tunnel: each SERVICE of the device gets a URL of its own, for as long as TTL "
             "says. Prints the URLs, when the tunnel ends, and the command to run on the device. "
             "Either everything that was asked for is there in the end, or nothing has changed.\n"
             "\n"
             "SERVICE is where the traffic goes on the device's side: http://127.0.0.1:80, "
             "https://192.168.1.9, h2c://127.0.0.1:50051, tcp://127.0.0.1:22; a bare number N "
             "means http://127.0.0.1:N.\n"
             "\n"
             "Unless -k is given, rly makes a key pair for the tunnel and writes it, with all else "
             "that ssh needs, into a bundle: a folder to be copied to the device. In the bundle, "
             "./run keeps the tunnel up until its grant ends, with OpenSSH's or dropbear's client; "
             "for systemd there is relay-tunnel.service.\n",
    .examples = "  rly open -d 'NAS in Bern' -t 2h 80\n"
                "  rly open -n nas-bern -d 'NAS in Bern' -o ./nas-bern https://192.168.1.9\n"
                "  rly open --host device https://nas.lan\n"
                "  rly open -k /tmp/device.pub http://127.0.0.1:8080 tcp://127.0.0.1:22\n",
    .run = run};
