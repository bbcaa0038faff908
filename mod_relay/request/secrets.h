/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A visitor's proofs to httpd do not go to a device: the Authorization field where httpd reads it,
 * the cookies of httpd's own logins, and the tokens of mod_auth_openidc. The request's thread
 * calls.
 */
#ifndef MOD_RELAY_SECRETS_H
#define MOD_RELAY_SECRETS_H

#include "request.h"

/**
 * The names (const char *) of the cookies that stay here: those of httpd's logins, as they are
 * configured, and more. check_config.
 */
apr_array_header_t *mod_relay_hidden_cookies(const apr_array_header_t *more, apr_pool_t *p);

/** 1 if httpd reads Authorization for this request, or for one that it is a part of; after the
 * checks of access. */
int mod_relay_secrets_asked(request_rec *r);

/** Remembers the visitor's fields; before any module changes them for the device. */
void mod_relay_secrets_note(request_rec *r, mod_relay_request *rr);

/** From here on until show, r->headers_in is what the device may have. */
void mod_relay_secrets_hide(request_rec *r, mod_relay_request *rr);
void mod_relay_secrets_show(request_rec *r, mod_relay_request *rr);

/** Between hide and show: a copy of r->headers_in, made once and put in its place, for what this
 * device is to get. The visitor's own are in rr->headers_in then. */
apr_table_t *mod_relay_secrets_own_fields(request_rec *r, mod_relay_request *rr);

#endif
