/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What a call is answered: JSON, or lines of text where the caller wants those; and problems
 * (RFC 9457), each with the tag that its line in the log has.
 */
#ifndef RELAY_API_ANSWER_H
#define RELAY_API_ANSWER_H

#include "api.h"

typedef enum {
    API_NOT_HTTPS,
    API_NO_PATH,
    API_METHOD,
    API_NO_TOKEN,
    API_FORBIDDEN,
    API_FOREIGN,
    API_SLOW,
    API_MALFORMED,
    API_TOO_LARGE,
    API_MEDIA_TYPE,
    API_UNACCEPTABLE,
    API_NOT_FOUND,
    API_REFUSED,
    API_GONE,
    API_REUSED,
    API_UNAVAILABLE,
    API_RECORD
} api_problem_kind;

/** Answers, and drops the reference. @return OK for httpd */
int api_answer(api_call *c, int status, json_t *json);

/** 204. */
int api_answer_nothing(api_call *c);

/** Answers with a text of a type of its own. */
int api_answer_as(api_call *c, const char *type, const char *text);

/**
 * Answers with a problem and logs it.
 * @param member which of the request's members or parameters is wrong, or NULL
 * @return OK for httpd
 */
int api_problem_of(api_call *c, api_problem_kind kind, const char *member, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define api_problem(c, kind, ...) api_problem_of(c, kind, NULL, __VA_ARGS__)

/** The problem that librelay's error means. */
int api_problem_why(api_call *c, apr_status_t rv, const char *why);

#endif
