/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "person.h"
#include "relay_name.h"
#include "relay_token.h"

#include <ap_provider.h>
#include <apr_strings.h>

const char *api_person_read(api_person *person, cmd_parms *cmd, const char *args)
{
    const char *tenant;

    person->role = ap_getword_conf(cmd->pool, &args);
    tenant = ap_getword_conf(cmd->pool, &args);
    person->name = ap_getword_conf(cmd->pool, &args);
    person->words = args;
    if (!*person->name)
        return "RelayAPIPerson takes a role, a tenant or *, and what `Require' takes";
    if (!relay_token_rights(person->role))
        return apr_psprintf(cmd->pool, "RelayAPIPerson: there is no role %s", person->role);
    if (strcmp(tenant, RELAY_TENANT_ALL) != 0) {
        if (relay_name_check(tenant, strlen(tenant), cmd->pool, NULL) != APR_SUCCESS)
            return apr_psprintf(cmd->pool, "RelayAPIPerson: %s cannot be a tenant; *: all", tenant);
        person->tenant = tenant;
    }
    person->provider =
        ap_lookup_provider(AUTHZ_PROVIDER_GROUP, person->name, AUTHZ_PROVIDER_VERSION);
    if (!person->provider || !person->provider->check_authorization)
        return apr_psprintf(
            cmd->pool, "RelayAPIPerson: no module that is loaded knows `Require %s'", person->name);
    return person->provider->parse_require_line
               ? person->provider->parse_require_line(cmd, person->words, &person->parsed)
               : NULL;
}

/* As mod_authz_core does it: some providers look in the notes by which name they are asked. */
static int holds(const api_person *person, request_rec *r)
{
    authz_status status;

    apr_table_setn(r->notes, AUTHZ_PROVIDER_NAME_NOTE, person->name);
    status = person->provider->check_authorization(r, person->words, person->parsed);
    apr_table_unset(r->notes, AUTHZ_PROVIDER_NAME_NOTE);
    return status == AUTHZ_GRANTED;
}

const api_person *api_person_of(const apr_array_header_t *persons, request_rec *r)
{
    for (int i = 0; persons && i < persons->nelts; i++) {
        const api_person *person = &APR_ARRAY_IDX(persons, i, api_person);

        if (holds(person, r))
            return person;
    }
    return NULL;
}
