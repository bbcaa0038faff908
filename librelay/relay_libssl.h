/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * hiredis's TLS and OpenSSL, which are loaded only where a URL asks for TLS. No program is linked
 * with them: libcrypto alone has some 26,000 relocations, which cost relay-authkeys more than all
 * that it does, and it runs twice for each login. A package's dependency stands in the note
 * `.note.dlopen' of each program, where tools for packages look for it.
 *
 * The calls are not for threads beside each other before the first has returned; a program reads
 * its relay.conf before it has threads.
 */
#ifndef RELAY_LIBSSL_H
#define RELAY_LIBSSL_H

#include "relay.h"

/**
 * Loads them, once in a process; they are never unloaded.
 * @return NULL; or a sentence, in p, that says what is missing
 */
const char *relay_libssl_load(apr_pool_t *p);

#ifdef RELAY_HIREDIS_SSL
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* F(name) for each function that is used. Most of SSL_CTX_set_…() and the like are macros. */
#define RELAY_LIBSSL(F) \
    F(redisInitiateSSL) \
    F(SSL_CTX_ctrl) \
    F(SSL_CTX_free) \
    F(SSL_CTX_load_verify_locations) \
    F(SSL_CTX_new) \
    F(SSL_ctrl) \
    F(SSL_free) \
    F(SSL_get0_param) \
    F(SSL_new) \
    F(SSL_set1_host) \
    F(SSL_set_verify) \
    F(TLS_client_method) \
    F(X509_VERIFY_PARAM_set1_ip_asc) \
    F(X509_VERIFY_PARAM_set_hostflags)

typedef struct relay_libssl {
#define RELAY_LIBSSL_MEMBER(f) __typeof__(f) *f;
    RELAY_LIBSSL(RELAY_LIBSSL_MEMBER)
#undef RELAY_LIBSSL_MEMBER
} relay_libssl;

/** The functions. relay_libssl_load() has returned NULL before: it has for each URL with TLS. */
const relay_libssl *relay_libssl_get(void);
#endif

#endif
