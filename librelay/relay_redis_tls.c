/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"
#include "relay_redis_tls.h"
#include "relay_libssl.h"

#ifdef RELAY_HIREDIS_SSL

#define SYSTEM_CAS "/etc/ssl/certs"

/* SSL_CTX_set_min_proto_version() is a macro of this call. */
static long set_oldest(const relay_libssl *lib, SSL_CTX *ctx, int version)
{
    return lib->SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL);
}

/* SSL_set_tlsext_host_name() is a macro of this call, which copies the name. */
static long set_sni(const relay_libssl *lib, SSL *ssl, const char *host)
{
    return lib->SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                         (void *)(uintptr_t)host);
}

/* hiredis would check who signed the server's certificate, but not whose it is: any server with a
 * certificate of a known authority could stand in for Redis. */
static int checks_server(const relay_libssl *lib, SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = lib->SSL_get0_param(ssl);

    lib->SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (lib->X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return 1;
    lib->X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return lib->SSL_set1_host(ssl, host) == 1 && set_sni(lib, ssl, host) == 1;
}

static SSL *new_session(const relay_libssl *lib, const relay_redis_url *url)
{
    SSL_CTX *ctx = lib->SSL_CTX_new(lib->TLS_client_method());
    SSL *ssl = NULL;

    if (ctx && set_oldest(lib, ctx, TLS1_2_VERSION) == 1 &&
        lib->SSL_CTX_load_verify_locations(ctx, url->ca, url->ca ? NULL : SYSTEM_CAS) == 1)
        ssl = lib->SSL_new(ctx);
    lib->SSL_CTX_free(ctx); /* the session keeps what it needs */
    if (ssl && !checks_server(lib, ssl, url->host)) {
        lib->SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

apr_status_t relay_redis_tls(redisContext *c, const relay_redis_url *url)
{
    const relay_libssl *lib = relay_libssl_get();
    SSL *ssl = new_session(lib, url);

    if (!ssl) {
        apr_snprintf(c->errstr, sizeof(c->errstr), "the certificates of %s cannot be used",
                     url->ca ? url->ca : SYSTEM_CAS);
        return APR_EGENERAL;
    }
    if (lib->redisInitiateSSL(c, ssl) == REDIS_OK)
        return APR_SUCCESS;
    lib->SSL_free(ssl); /* hiredis has taken it only where all went well */
    return APR_EGENERAL;
}
#else
apr_status_t relay_redis_tls(redisContext *c, const relay_redis_url *url)
{
    return APR_ENOTIMPL;
}
#endif
