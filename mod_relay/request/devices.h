/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What has been learnt of each device's connections: how many it takes at a time, and how soon it
 * refuses one. It knows nothing of httpd.
 *
 * The table lies in memory that all processes of httpd share, and nobody locks it. Each member is
 * read and written by itself, because all of this serves guesses: where two devices meet in one
 * place of the table, or two threads in one member, a connection is looked at for nothing, or a
 * request waits a little. Times are those of relay_clock().
 */
#ifndef MOD_RELAY_DEVICES_H
#define MOD_RELAY_DEVICES_H

#include <apr.h>
#include <apr_time.h>

/** A power of two. */
#define MOD_RELAY_DEVICES_MAX 4096

typedef struct mod_relay_device {
    volatile apr_uint64_t key;     /* 0: nobody's */
    volatile apr_uint32_t proved;  /* so many of its connections had an answer at the same time */
    volatile apr_uint32_t limit;   /* it took no more than so many; 0: it has never refused one */
    volatile apr_uint32_t spared;  /* having as many, it took so many more in place of ended ones */
    volatile apr_uint32_t first;   /* from a connection's beginning to its first answer, in us, */
    volatile apr_uint32_t refusal; /* and to its end, if it is refused */
    volatile apr_time_t used;
    volatile apr_time_t moved;    /* when one of its connections last became free */
    volatile apr_time_t refused;  /* when it last refused a connection */
    volatile apr_time_t answered; /* when a new connection last had an answer */
    volatile apr_time_t wanted;   /* when a request last waited for a connection */
    volatile apr_time_t called;   /* when all processes were last told so */
    volatile apr_time_t urgent;   /* and when one did that had waited for long */
    volatile apr_time_t silent;   /* when a new connection was last silent for long */
    volatile apr_time_t freed;    /* when one of its connections last ended */
} mod_relay_device;

/** The device's place; another's, which has not been used for longest, if there is none yet. */
mod_relay_device *mod_relay_devices_find(mod_relay_device *table, apr_uint64_t key, apr_time_t now);

/** How many connections it may have now. After a while one or a few more are tried again. */
unsigned mod_relay_device_allows(const mod_relay_device *d, apr_time_t now);

/** One of its connections has just ended: the device may not know yet. */
int mod_relay_device_is_closing(const mod_relay_device *d, apr_time_t now);

/** May it refuse its nth connection? Until that is known nothing is sent on it. */
int mod_relay_device_may_refuse(const mod_relay_device *d, unsigned n, apr_time_t now);

/** So soon it refuses a new connection, if it does; the nth of those that come at this time. */
apr_interval_time_t mod_relay_device_refuses_after(const mod_relay_device *d, unsigned n,
                                                   apr_time_t now);

/**
 * A new connection had its first answer.
 * @param n the connections that have had answers and are open, this one included
 * @param took since its beginning; 0: something else was waited for as well
 */
void mod_relay_device_answers(mod_relay_device *d, unsigned n, apr_interval_time_t took,
                              apr_time_t now);

/** It was looked at, and has not refused its nth connection. */
void mod_relay_device_takes(mod_relay_device *d, unsigned n);

/** It has refused a connection, after so long; how many it takes is not known yet, or as before. */
void mod_relay_device_refuses(mod_relay_device *d, apr_interval_time_t after, apr_time_t now);

/** It takes no more than n: it has refused another. */
void mod_relay_device_takes_only(mod_relay_device *d, unsigned n, apr_time_t now);

/** It has refused a connection that it was thought to have taken. */
void mod_relay_device_refuses_later(mod_relay_device *d);

/** It refuses a connection while it has no other: is its service away, rather than busy? */
int mod_relay_device_is_away(const mod_relay_device *d, apr_time_t now);

/** For people to read: the devices that are known for refusing connections. */
unsigned mod_relay_devices_small(const mod_relay_device *table, apr_time_t now);

#endif
