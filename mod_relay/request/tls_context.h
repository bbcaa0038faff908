/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * OpenSSL's side of connections to https:// services: what they may be like, and why a handshake
 * failed.
 *
 * mod_ssl makes a context of OpenSSL for each set of its settings that tls.c has, in post_config,
 * in the parent. Handshakes run in request threads; what they find is noted in their backend.
 */
#ifndef MOD_RELAY_TLS_CONTEXT_H
#define MOD_RELAY_TLS_CONTEXT_H

#include "backend.h"

/** Why there is no TLS connection; the value of mod_relay_backend_tls.fault. */
typedef enum {
    MOD_RELAY_TLS_NO_FAULT,
    MOD_RELAY_TLS_TOO_OLD,    /* no version, cipher, key or signature in common */
    MOD_RELAY_TLS_NOT_SPOKEN, /* what came is not TLS */
    MOD_RELAY_TLS_NAME_REFUSED,
    MOD_RELAY_TLS_WANTS_CERTIFICATE,
    MOD_RELAY_TLS_OTHER
} mod_relay_tls_fault;

typedef enum { MOD_RELAY_TLS_CURRENT, MOD_RELAY_TLS_ACCEPTS_OLD } mod_relay_tls_age;

/** mod_ssl makes the context for such services now, until mod_relay_tls_context_done(). One thread:
 * post_config. */
void mod_relay_tls_context_begin(mod_relay_tls_age age);
void mod_relay_tls_context_done(void);

/** OpenSSL's words for mod_relay_backend_tls.code, or NULL. */
const char *mod_relay_tls_reason(apr_uint32_t code);

#endif
