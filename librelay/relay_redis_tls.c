/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"
#include "relay_redis_tls.h"

#ifdef HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define SYSTEM_CAS "/etc/ssl/certs"

/* hiredis would check who signed the server's certificate, but not whose it is: any server with a
 * certificate of a known authority could stand in for Redis. */
static int checks_server(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static SSL *new_session(const relay_redis_url *url)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_load_verify_locations(ctx, url->ca, url->ca ? NULL : SYSTEM_CAS) == 1)
        ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the session keeps what it needs */
    if (ssl && !checks_server(ssl, url->host)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

apr_status_t relay_redis_tls(redisContext *c, const relay_redis_url *url)
{
    SSL *ssl = new_session(url);

    if (!ssl) {
        apr_snprintf(c->errstr, sizeof(c->errstr), "the certificates of %s cannot be used",
                     url->ca ? url->ca : SYSTEM_CAS);
        return APR_EGENERAL;
    }
    if (redisInitiateSSL(c, ssl) == REDIS_OK)
        return APR_SUCCESS;
    SSL_free(ssl); /* hiredis has taken it only where all went well */
    return APR_EGENERAL;
}
#else
apr_status_t relay_redis_tls(redisContext *c, const relay_redis_url *url)
{
    return APR_ENOTIMPL;
}
#endif
