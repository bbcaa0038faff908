/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The relay's own answers, where there is none of a device. The request's thread calls.
 */
#ifndef MOD_RELAY_PAGES_H
#define MOD_RELAY_PAGES_H

#include "request/request.h"

/**
 * Sends the page for an answer, unless there is an ErrorDocument for its status.
 * @return OK when the page was sent; else the status, for httpd to go on with
 */
int mod_relay_page_send(request_rec *r, const mod_relay_request *rr, mod_relay_answer answer);

#endif
