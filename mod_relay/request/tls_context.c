/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "tls_context.h"
#include "hooks.h"

#include <apr_atomic.h>
#include <apr_optional_hooks.h>
#include <mod_ssl.h>
#include <mod_ssl_openssl.h>
#include <openssl/err.h>

/* For services that are opened with --old-tls: all but those that no browser has ever spoken. */
#define OLD_CIPHERS "ALL:!aNULL:@SECLEVEL=0"

static int making = -1; /* a mod_relay_tls_age, or -1: mod_ssl makes a context for others */
static int has_certificates;
/* mod_ssl's own callbacks; they are the same in all contexts. */
static void (*next_info)(const SSL *ssl, int where, int ret);
static int (*next_certificate)(SSL *ssl, X509 **x509, EVP_PKEY **key);

static mod_relay_backend_tls *noted(const SSL *ssl)
{
    const conn_rec *c = SSL_get_app_data(ssl);
    mod_relay_backend *be = c ? mod_relay_backend_of(c) : NULL;

    return be ? mod_relay_backend_tls_of(be) : NULL;
}

/* ---- why */

static mod_relay_tls_fault fault_of_alert(int alert, int certified)
{
    switch (alert) {
    case SSL_AD_UNRECOGNIZED_NAME:
        return MOD_RELAY_TLS_NAME_REFUSED;
    case SSL_AD_CERTIFICATE_REQUIRED:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
        return MOD_RELAY_TLS_WANTS_CERTIFICATE;
    case SSL_AD_PROTOCOL_VERSION:
    case SSL_AD_INSUFFICIENT_SECURITY:
    case SSL_AD_NO_RENEGOTIATION:
        return MOD_RELAY_TLS_TOO_OLD;
    case SSL_AD_HANDSHAKE_FAILURE:
        return certified ? MOD_RELAY_TLS_WANTS_CERTIFICATE : MOD_RELAY_TLS_TOO_OLD;
    default:
        return MOD_RELAY_TLS_OTHER;
    }
}

static mod_relay_tls_fault fault_of_error(unsigned long code)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return MOD_RELAY_TLS_OTHER;
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_UNKNOWN_PROTOCOL:
        return MOD_RELAY_TLS_NOT_SPOKEN;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED:
    case SSL_R_LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED:
    case SSL_R_DH_KEY_TOO_SMALL:
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK:
    case SSL_R_WRONG_SIGNATURE_TYPE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_WRONG_CIPHER_RETURNED:
    case SSL_R_UNKNOWN_CIPHER_RETURNED:
        return MOD_RELAY_TLS_TOO_OLD;
    default:
        return MOD_RELAY_TLS_OTHER;
    }
}

static void note(mod_relay_backend_tls *tls, mod_relay_tls_fault fault, unsigned long code)
{
    apr_atomic_set32(&tls->works, 0);
    apr_atomic_set32(&tls->fault, fault);
    apr_atomic_set32(&tls->code, (apr_uint32_t)code);
}

/* A connection that ends in the handshake is no fault of TLS: so it does when the service is not
 * there, and sshd has accepted already. */
static void on_info(const SSL *ssl, int where, int ret)
{
    mod_relay_backend_tls *tls;
    unsigned long code = ERR_peek_error();

    if (next_info)
        next_info(ssl, where, ret);
    if (!(where & (SSL_CB_ALERT | SSL_CB_EXIT | SSL_CB_HANDSHAKE_DONE)) ||
        (tls = noted(ssl)) == NULL)
        return;
    if (where & SSL_CB_HANDSHAKE_DONE) {
        apr_atomic_set32(&tls->works, 1);
    }
    else if (where == SSL_CB_READ_ALERT) {
        if (ret >> 8 == SSL3_AL_FATAL)
            note(tls, fault_of_alert(ret & 0xff, (int)apr_atomic_read32(&tls->certified)),
                 ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + (ret & 0xff)));
    }
    else if (where == SSL_CB_WRITE_ALERT) {
        if ((ret & 0xff) == SSL_AD_NO_RENEGOTIATION)
            note(tls, MOD_RELAY_TLS_TOO_OLD, 0);
    }
    else if (where == SSL_CB_CONNECT_EXIT && ret <= 0 && code && !apr_atomic_read32(&tls->fault) &&
             !SSL_get_shutdown(ssl) && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        note(tls, fault_of_error(code), code);
    }
}

const char *mod_relay_tls_reason(apr_uint32_t code)
{
    return code ? ERR_reason_error_string(code) : NULL;
}

/*
 * Some services ask everybody for a certificate and take none for an answer. mod_ssl would write a
 * warning at each connection.
 */
static int on_certificate_request(SSL *ssl, X509 **x509, EVP_PKEY **key)
{
    mod_relay_backend_tls *tls = noted(ssl);

    if (tls)
        apr_atomic_set32(&tls->certified, 1);
    return has_certificates && next_certificate ? next_certificate(ssl, x509, key) : 0;
}

/* ---- the context */

static int names_certificates(const ap_directive_t *d)
{
    for (; d; d = d->next)
        if (ap_cstr_casecmp(d->directive, "SSLProxyMachineCertificateFile") == 0 ||
            ap_cstr_casecmp(d->directive, "SSLProxyMachineCertificatePath") == 0 ||
            names_certificates(d->first_child))
            return 1;
    return 0;
}

void mod_relay_tls_context_begin(mod_relay_tls_age age)
{
    making = (int)age;
    has_certificates = names_certificates(ap_conftree);
}

void mod_relay_tls_context_done(void)
{
    making = -1;
}

static int init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    if (!is_proxy || making < 0)
        return DECLINED;
    next_info = SSL_CTX_get_info_callback(ctx);
    SSL_CTX_set_info_callback(ctx, on_info);
    next_certificate = SSL_CTX_get_client_cert_cb(ctx);
    SSL_CTX_set_client_cert_cb(ctx, on_certificate_request);
    /* Browsers, too, connect to a server of before RFC 5746. */
    SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
    if (making == MOD_RELAY_TLS_ACCEPTS_OLD) {
        SSL_CTX_set_options(ctx, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
        SSL_CTX_clear_options(ctx, SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2);
        SSL_CTX_set_min_proto_version(ctx, 0);
        SSL_CTX_set_max_proto_version(ctx, 0);
        SSL_CTX_set_security_level(ctx, 0);
        if (!SSL_CTX_set_cipher_list(ctx, OLD_CIPHERS))
            return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

void mod_relay_tls_context_register_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(ssl, init_server, init_server, NULL, NULL, APR_HOOK_MIDDLE);
}
