/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Devices that enrolled. A device shows an enrolment code, once, and is given a token of its own,
 * `device_ID_SECRET`, of whose secret Redis has the SHA-256. It may do nothing until it is
 * approved; most codes approve.
 */
#ifndef RELAY_DEVICE_H
#define RELAY_DEVICE_H

#include "relay_actor.h"
#include "relay_rows.h"

#define RELAY_DEVICE_BEGINS "device_"

typedef struct relay_device {
    const char *id;
    const char *tenant; /* "": nobody's */
    const char *label;  /* what it is called */
    const char *by;     /* code:ID, by which it came */
    const char *from;   /* the address from which; may be "" */
    int approved;
    apr_time_t created, seen; /* by Redis's clock: when it enrolled, was heard last */
} relay_device;

typedef struct relay_enrolment {
    const char *code;  /* as somebody typed it */
    const char *label; /* NULL or "": its id */
    relay_actor actor; /* its address and the request's id; by is set here */
    relay_once *once;  /* NULL: asked again it is another device. The owner is set here */
} relay_enrolment;

/**
 * Lets a device in, and counts that. Asked again (once) it is the same device, with another token,
 * as long as it has not used the first one: the answer may have been lost.
 * @param d out: but for from
 * @param token out
 * @return APR_SUCCESS; RELAY_EINPUT; RELAY_ENOTFOUND: there is no such code; RELAY_EREFUSED: it is
 * used up; RELAY_EGONE: the device was removed since; RELAY_EREUSED, RELAY_ERECORD or
 * RELAY_EUNREACHABLE; with *why
 */
apr_status_t relay_device_enrol(relay_device *d, const char **token, relay_store *s,
                                const relay_config *cfg, relay_enrolment *e, apr_pool_t *p,
                                const char **why);

/** They are listed as relay_device *, the oldest first. */
extern const relay_rows relay_device_rows;

typedef struct relay_device_change {
    const char *label; /* NULL: as it is */
    int approved;      /* 1, 0; -1: as it is */
} relay_device_change;

/**
 * Changes a device that the actor may see.
 * @return APR_SUCCESS; RELAY_EINPUT, RELAY_ENOTFOUND, RELAY_ERECORD or RELAY_EUNREACHABLE, with
 * *why
 */
apr_status_t relay_device_alter(relay_store *s, const relay_config *cfg, const char *id,
                                const relay_device_change *change, const relay_actor *actor,
                                apr_pool_t *p, const char **why);

/** Forgets a device: its token is good for nothing. @return as relay_code_revoke() */
apr_status_t relay_device_remove(relay_store *s, const relay_config *cfg, const char *id,
                                 const relay_actor *actor, apr_pool_t *p, const char **why);

#endif
