/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The judgement of a key: is this a request that sshd would make, what may the key do, and how does
 * authorized_keys' language say that. relay-authkeys acts on it; rly/doctor explains it to a
 * person.
 */
#ifndef AUTHKEYS_H
#define AUTHKEYS_H

#include "relay_grant.h"

/** The user that sshd runs the command as: AuthorizedKeysCommandUser in sshd-conf/. */
#define AUTHKEYS_USER "relay-authkeys"
/** The name of its password's file, where relay.conf has [redis] passwords. */
#define AUTHKEYS_PART "authkeys"
/** The longest base64 taken: sshd's largest RSA key, 16384 bits, needs 2,800 characters. */
#define AUTHKEYS_BLOB_MAX 8192

/** sshd's arguments: %u %f %t %k. All of them may come from a hostile client. */
typedef struct authkeys_request {
    const char *user;        /* login name */
    const char *fingerprint; /* SHA256:… */
    const char *type;        /* ssh-ed25519, … */
    const char *blob;        /* the public key in base64 */
} authkeys_request;

/**
 * Checks the form of each field, so that nothing but a key can be in the line that is printed.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t authkeys_request_check(const authkeys_request *req, apr_pool_t *p, const char **why);

/**
 * Looks the grant up and holds it against relay.conf. Nothing is granted unless it is APR_SUCCESS.
 * @param grant filled in pool p also when the record was read but not accepted: tunnel is then set,
 * else NULL
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_EREFUSED: the key is another relay's; RELAY_ERECORD:
 * the record cannot be used, or its addresses are not this relay's to give; RELAY_EUNREACHABLE; all
 * but ENOTFOUND with *why
 */
apr_status_t authkeys_grant_find(relay_grant *grant, relay_store *store, const relay_config *cfg,
                                 const char *fingerprint, apr_pool_t *p, const char **why);

/**
 * Says what the key may do, as options of authorized_keys(5):
 * `restrict,port-forwarding,permitlisten="A:P"…`.
 * @param loopback_only option -l: this sshd has `GatewayPorts no`, so the empty address is loopback
 */
const char *authkeys_options(const relay_grant *grant, int loopback_only, apr_pool_t *p);

#endif
