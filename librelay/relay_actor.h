/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Who asks for something: what the records and the events say of him, whose tunnels he may see, and
 * by what a request is known that he may send twice.
 */
#ifndef RELAY_ACTOR_H
#define RELAY_ACTOR_H

#include "relay.h"

typedef struct relay_actor {
    const char *by;      /* user@host, or token:ID */
    const char *tenant;  /* the one whose tunnels he sees; NULL: he sees all */
    const char *from;    /* API: his address; else NULL */
    const char *request; /* API: the request's id; else NULL */
} relay_actor;

/** Stands for all tenants, in scripts and in records of tokens. */
#define RELAY_TENANT_ALL "*"

/** The actor's tenant as scripts take it. */
static inline const char *relay_actor_tenant(const relay_actor *actor)
{
    return actor->tenant ? actor->tenant : RELAY_TENANT_ALL;
}

/** Text that may be NULL, as scripts take it. */
static inline const char *relay_actor_text(const char *text)
{
    return text ? text : "";
}

/** What is asked for again under the same key of the same owner happens once (lua/once.lua). */
typedef struct relay_once {
    const char *owner;   /* a token's id */
    const char *key;     /* SHA-256 of the Idempotency-Key, in hexadecimal */
    const char *request; /* SHA-256 of what is asked for: another one under the key is refused */
} relay_once;

#endif
