/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * People whom httpd has logged in, and what they may do: the lines of RelayAPIPerson. Each names a
 * role, a tenant, and what `Require' takes, which httpd's own providers judge: valid-user, user,
 * group, ldap-group, claim, expr, whatever is loaded. Entries live in the configuration's pool.
 */
#ifndef RELAY_API_PERSON_H
#define RELAY_API_PERSON_H

#include <httpd.h>
#include <http_config.h>
#include <mod_auth.h>

typedef struct api_person {
    const char *role;   /* one of RELAY_TOKEN_ROLES */
    const char *tenant; /* NULL: all of them */
    const char *name, *words;
    const void *parsed;
    const authz_provider *provider;
} api_person;

/**
 * Reads `ROLE TENANT REQUIREMENT'.
 * @return NULL, or what is wrong
 */
const char *api_person_read(api_person *person, cmd_parms *cmd, const char *args);

/**
 * The first entry that holds for who is logged in.
 * @param persons array of api_person, or NULL
 * @return NULL: there is none
 */
const api_person *api_person_of(const apr_array_header_t *persons, request_rec *r);

#endif
