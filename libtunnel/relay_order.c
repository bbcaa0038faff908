/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_order.h"
#include "relay_name.h"

#include <string.h>

static apr_status_t check_services(relay_tunnel_request *req, const relay_order *order,
                                   apr_pool_t *p, relay_order_fault *fault)
{
    const relay_service **services =
        apr_pcalloc(p, sizeof(*services) * (apr_size_t)order->nservices);
    relay_service *service;

    fault->word = RELAY_ORDER_SERVICE;
    for (int i = 0; i < order->nservices; i++) {
        fault->index = i;
        if (relay_service_parse(&service, order->services[i], p, &fault->why) != APR_SUCCESS)
            return RELAY_EINPUT;
        services[i] = service;
    }
    req->nservices = order->nservices;
    req->services = services;
    return APR_SUCCESS;
}

static apr_status_t check_names(relay_tunnel_request *req, const relay_order *order, apr_pool_t *p,
                                relay_order_fault *fault)
{
    const char **names = apr_pcalloc(p, sizeof(*names) * (apr_size_t)order->nservices);

    fault->word = RELAY_ORDER_NAMES;
    if (order->nnames > order->nservices) {
        fault->why = apr_psprintf(p, "%d names are given for %d service%s", order->nnames,
                                  order->nservices, order->nservices == 1 ? "" : "s");
        return RELAY_EINPUT;
    }
    fault->word = RELAY_ORDER_NAME;
    for (int i = 0; i < order->nnames; i++) {
        fault->index = i;
        if ((names[i] = order->names[i]) != NULL &&
            relay_name_check(names[i], strlen(names[i]), p, &fault->why) != APR_SUCCESS)
            return RELAY_EINPUT;
    }
    req->names = names;
    return APR_SUCCESS;
}

static apr_status_t check_needs(relay_tunnel_request *req, const relay_order *order, apr_pool_t *p,
                                relay_order_fault *fault)
{
    static const relay_needs none = RELAY_NEEDS_DEFAULT;
    relay_needs *needs = apr_pmemdup(p, &none, sizeof(none));

    fault->word = RELAY_ORDER_HOST;
    if (order->host &&
        relay_needs_host_parse(&needs->host, order->host, p, &fault->why) != APR_SUCCESS)
        return RELAY_EINPUT;
    fault->word = RELAY_ORDER_FORWARDED;
    if (order->forwarded && relay_needs_switch_parse(&needs->forwarded, order->forwarded, p,
                                                     &fault->why) != APR_SUCCESS)
        return RELAY_EINPUT;
    fault->word = RELAY_ORDER_UPGRADE;
    if (order->upgrade &&
        relay_needs_upgrade_parse(&needs->upgrade, order->upgrade, p, &fault->why) != APR_SUCCESS)
        return RELAY_EINPUT;
    needs->old_tls = order->old_tls;
    req->needs = needs;
    return APR_SUCCESS;
}

apr_status_t relay_order_check(relay_tunnel_request *req, const relay_order *order, apr_pool_t *p,
                               relay_order_fault *fault)
{
    apr_status_t rv;

    *fault = (relay_order_fault){.index = -1};
    if ((rv = check_services(req, order, p, fault)) == APR_SUCCESS &&
        (rv = check_names(req, order, p, fault)) == APR_SUCCESS) {
        fault->index = -1;
        rv = check_needs(req, order, p, fault);
    }
    return rv;
}
