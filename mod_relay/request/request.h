/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The module's own record of a request for a device (request_config). It lives in the request's
 * pool, and only the request's thread touches it. The file that is named above a group of members
 * writes them; others read.
 */
#ifndef MOD_RELAY_REQUEST_H
#define MOD_RELAY_REQUEST_H

#include "realm.h"
#include "relay_route.h"

/** The relay's own answers, where there is none of a device; pages.c has their words. */
typedef enum {
    MOD_RELAY_UNKNOWN,     /* 404: nobody has heard of the name */
    MOD_RELAY_GONE,        /* 410: the tunnel has ended */
    MOD_RELAY_OFFLINE,     /* 503: the device is not connected */
    MOD_RELAY_SILENT,      /* 502: the device is connected, but its service does not answer */
    MOD_RELAY_UNAVAILABLE, /* 503: the relay cannot tell at the moment */
    MOD_RELAY_NOT_WEB,     /* 404: the service is not for browsers */
    MOD_RELAY_GARBLED,     /* 502: the device's answer cannot be used */
    MOD_RELAY_BUSY,        /* 503: the tunnel holds its share of httpd's threads */
    /* 502: there is no TLS connection with the service, */
    MOD_RELAY_TLS_OLD,         /* which knows nothing newer, */
    MOD_RELAY_TLS_NONE,        /* which does not speak TLS, */
    MOD_RELAY_TLS_NAME,        /* which refuses the name that it is sent, */
    MOD_RELAY_TLS_CERTIFICATE, /* which wants a certificate of the relay's, */
    MOD_RELAY_TLS_FAILED,      /* or for another reason */
    MOD_RELAY_TIMED_OUT,       /* 504: the device has not answered in time */
    MOD_RELAY_STALLED,         /* 408: the visitor has not sent the whole request */
    MOD_RELAY_CROWDED          /* 503: the device has no connection for it */
} mod_relay_answer;

typedef struct mod_relay_request {
    /* route.c, before any other file sees the request: */
    mod_relay_realm *realm;
    const mod_relay_server *server;
    const char *name;
    int answer;        /* a mod_relay_answer when a page is to be shown, else -1 */
    relay_route route; /* where answer is -1 */
    /* memory.c: */
    int stranger; /* this browser may hold what an earlier device left under the name */
    /* paths.c: */
    int asked; /* httpd reads Authorization for another reading of the path */
    /* shares.c: */
    int counted; /* it counts in the tunnel's share of threads */
    /* secrets.c: */
    const char *authorization; /* as the visitor sent it, or NULL */
    apr_table_t
        *headers_in; /* r->headers_in as it was, while a table without secrets replaces it */
    /* origin.c, for as long as mod_proxy has the request: */
    struct ap_conf_vector_t *per_dir_config; /* r->per_dir_config as it was, or NULL */
    /* proxy.c, for as long as mod_proxy has the request: */
    struct mod_relay_backend *backend;
    struct proxy_worker *worker;
    void *proxy; /* mod_proxy's proxy_server_conf */
    int pinned;  /* its connection is this visitor's own */
    char *url;   /* what mod_proxy_http2 was given, or NULL */
    /* head.c, while an answer is read: */
    const char *fault;        /* why it cannot be used, or NULL; answer.c writes it, too */
    apr_table_t *long_fields; /* fields that are too long for mod_proxy, or NULL */
    /* patience.c, for as long: */
    struct mod_relay_patience *patience;
    apr_time_t sent;               /* when all of a request with a body had been sent, or 0 */
    apr_interval_time_t timed_out; /* the device was given up after so long, or 0; stays */
    /* upload.c, for as long: */
    struct mod_relay_upload *upload;
    apr_interval_time_t stalled; /* nothing of the request came for so long, or 0; stays */
    /* answer.c, for as long: */
    apr_array_header_t *own_cookies; /* const char *: Set-Cookie of the relay's own modules */
    /* public.c, once a field has an address: */
    struct mod_relay_addresses *addresses;
    /* interim.c, for as long: */
    struct mod_relay_interim *interim;
    /* attempt.c, for as long: */
    int repeatable;   /* HTTP lets a proxy send it again when its connection has failed */
    int anew;         /* on a new connection only */
    const char *host; /* over HTTP/2: Host as the device is asked with it */
    int keepalives;   /* the visitor's connection's count, while that is hidden */
    int keepalives_hidden;
    int unread; /* its connection has ended, and nobody can have read the request */
    /* sockets.c, for as long: */
    request_rec *r;
    struct mod_relay_socket *socket; /* the connection that it has, or NULL */
    unsigned place;                  /* a cell of the shared counts, for a new connection; or 0 */
    int crowded;                     /* it was given up for want of one; stays */
    /* wire.c, for as long: */
    struct mod_relay_wire *wire; /* the connection that it has, or NULL */
    int lost; /* its connection had carried an answer before, and ended without a byte of this one
               */
    struct mod_relay_request *outer; /* the thread's request that this one interrupts */
} mod_relay_request;

static inline mod_relay_request *mod_relay_request_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &relay_module);
}

#endif
