/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "http.h"

/* Its macros that check types call functions by their names; here they are pointers. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)16 * 1024 * 1024) /* 200 tunnels of 32 routes each are 4 MB */
#define HEAD_MAX ((size_t)64 * 1024)

/* What is used of libcurl. */
#define CURL_FUNCTIONS(F) \
    F(curl_global_init) \
    F(curl_easy_init) \
    F(curl_easy_setopt) \
    F(curl_easy_perform) \
    F(curl_easy_getinfo) \
    F(curl_easy_reset) \
    F(curl_easy_strerror) \
    F(curl_easy_cleanup) \
    F(curl_slist_append) \
    F(curl_slist_free_all)

typedef struct functions {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration */
#define POINTER(name) __typeof__(name) *name;
    CURL_FUNCTIONS(POINTER)
#undef POINTER
} functions;

struct rly_http {
    functions f;
    CURL *curl;
    const char *cacert;
    char *body; /* by malloc() */
    size_t len, size, head;
    const char *too_much; /* what of the answer was */
    char error[CURL_ERROR_SIZE];
};

static int load(functions *f, apr_pool_t *p, const char **why)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    void *library = NULL, *symbol;

    for (size_t i = 0; !library && i < sizeof(names) / sizeof(names[0]); i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        RELAY_WHY(why, p,
                  "the API is spoken to by libcurl, which is not installed (Debian: "
                  "apt-get install libcurl4)");
        return 0;
    }
#define LOAD(name) \
    if ((symbol = dlsym(library, #name)) == NULL) { \
        RELAY_WHY(why, p, "this libcurl lacks " #name); \
        return 0; \
    } \
    memcpy(&f->name, &symbol, sizeof(symbol));
    CURL_FUNCTIONS(LOAD)
#undef LOAD
    return 1;
}

static apr_status_t clean_up(void *data)
{
    rly_http *h = data;

    if (h->curl)
        h->f.curl_easy_cleanup(h->curl);
    free(h->body);
    return APR_SUCCESS;
}

apr_status_t rly_http_create(rly_http **out, const char *cacert, apr_pool_t *p, const char **why)
{
    rly_http *h = apr_pcalloc(p, sizeof(*h));

    if (!load(&h->f, p, why))
        return RELAY_EUNREACHABLE;
    h->cacert = cacert;
    if (h->f.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (h->curl = h->f.curl_easy_init()) == NULL) {
        RELAY_WHY(why, p, "libcurl does not start");
        return RELAY_EUNREACHABLE;
    }
    apr_pool_cleanup_register(p, h, clean_up, apr_pool_cleanup_null);
    *out = h;
    return APR_SUCCESS;
}

static size_t take_body(char *data, size_t one, size_t n, void *baton)
{
    rly_http *h = baton;
    char *grown;

    if (n > BODY_MAX - h->len) {
        h->too_much = "is larger than 16 MB";
        return 0;
    }
    if (h->len + n + 1 > h->size) {
        size_t size = 2 * (h->len + n + 1);

        if ((grown = realloc(h->body, size)) == NULL)
            return 0;
        h->body = grown;
        h->size = size;
    }
    memcpy(h->body + h->len, data, n);
    h->len += n;
    h->body[h->len] = '\0';
    return n;
}

static size_t take_head(char *data, size_t one, size_t n, void *baton)
{
    rly_http *h = baton;

    h->head += n;
    if (h->head > HEAD_MAX) {
        h->too_much = "has more than 64 kB of header fields";
        return 0;
    }
    return n;
}

#define SET(option, value) h->f.curl_easy_setopt(h->curl, option, value)

static void set_safety(rly_http *h)
{
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* the token is for this place */
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    if (h->cacert)
        SET(CURLOPT_CAINFO, h->cacert);
    SET(CURLOPT_ERRORBUFFER, h->error);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, h);
    SET(CURLOPT_HEADERFUNCTION, take_head);
    SET(CURLOPT_HEADERDATA, h);
}

static struct curl_slist *fields_of(rly_http *h, const rly_http_request *req, apr_pool_t *p)
{
    const char *const fields[] = {
        apr_pstrcat(p, "Authorization: Bearer ", req->token, NULL), "Accept: application/json",
        req->body ? "Content-Type: application/json" : NULL,
        req->once ? apr_pstrcat(p, "Idempotency-Key: ", req->once, NULL) : NULL};
    struct curl_slist *list = NULL, *longer;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i] && (longer = h->f.curl_slist_append(list, fields[i])) != NULL)
            list = longer;
    return list;
}

/* Errors before anything of the request was sent. */
static int before_sending(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return 1;
    default:
        return 0;
    }
}

static apr_status_t failed(const rly_http *h, CURLcode code, const rly_http_request *req,
                           apr_pool_t *p, const char **why)
{
    const char *said = *h->error ? h->error : h->f.curl_easy_strerror(code);

    if (h->too_much)
        RELAY_WHY(why, p, "the API's answer cannot be used: it %s", h->too_much);
    else
        RELAY_WHY(why, p, "the API cannot be reached: %s%s", said,
                  code == CURLE_PEER_FAILED_VERIFICATION && !h->cacert
                      ? "; --cacert FILE says who may sign its certificate"
                      : "");
    return RELAY_EUNREACHABLE;
}

apr_status_t rly_http_ask(rly_http *h, const rly_http_request *req, rly_http_answer *answer,
                          int *sent, apr_pool_t *p, const char **why)
{
    struct curl_slist *fields = fields_of(h, req, p);
    curl_off_t wait = 0;
    CURLcode code;

    h->f.curl_easy_reset(h->curl); /* keeps the connection */
    h->len = h->head = 0;
    h->too_much = NULL;
    h->error[0] = '\0';
    set_safety(h);
    SET(CURLOPT_URL, req->url);
    SET(CURLOPT_CUSTOMREQUEST, req->method);
    SET(CURLOPT_HTTPHEADER, fields);
    SET(CURLOPT_TIMEOUT_MS, (long)apr_time_as_msec(req->time) + 1);
    if (req->body)
        SET(CURLOPT_POSTFIELDS, req->body);
    code = h->f.curl_easy_perform(h->curl);
    h->f.curl_slist_free_all(fields);
    *sent = !before_sending(code);
    if (code != CURLE_OK)
        return failed(h, code, req, p, why);
    *answer = (rly_http_answer){.body = h->len ? h->body : NULL, .len = h->len};
    h->f.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    if (h->f.curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        answer->retry_after = apr_time_from_sec(wait < 3600 ? wait : 3600);
    return APR_SUCCESS;
}
