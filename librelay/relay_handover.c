/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_handover.h"
#include "relay_record.h"

#include <string.h>
#include <time.h>

void relay_handover_read(relay_handover *h, const char *was, const char *last, apr_pool_t *p)
{
    h->was = strcmp(was, "new") == 0     ? RELAY_NAME_NEW
             : strcmp(was, "same") == 0  ? RELAY_NAME_SAME
             : strcmp(was, "taken") == 0 ? RELAY_NAME_TAKEN
                                         : RELAY_NAME_UNSURE;
    h->last = apr_pstrdup(p, last);
}

/* In UTC; "" for what is no time. */
static const char *day(const char *ms, apr_pool_t *p)
{
    apr_time_t t = 0;
    time_t secs;
    struct tm tm;
    char text[32];

    if (!relay_time_parse(&t, ms))
        return "";
    secs = (time_t)apr_time_sec(t);
    if (!gmtime_r(&secs, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm))
        return "";
    return apr_pstrdup(p, text);
}

void relay_handover_refused(const char *name, const char *last, const char *until_ms, apr_pool_t *p,
                            const char **why)
{
    const char *until = day(until_ms, p);

    RELAY_WHY(
        why, p,
        "the name `%s' was last the device `%s', and browsers may hold pages and logins of that "
        "one%s%s: choose another name, open it with -d '%s' if it is the same device, or take it "
        "over with --take-over, and browsers forget the old device",
        name, last, *until ? "; this is remembered until " : "", until, last);
}

void relay_handover_foreign(const char *name, const char *until_ms, apr_pool_t *p, const char **why)
{
    const char *until = day(until_ms, p);

    RELAY_WHY(why, p,
              "the name `%s' was another tenant's, and browsers may hold pages and logins of its "
              "device%s%s: choose another name",
              name, *until ? "; this is remembered until " : "", until);
}

const char *relay_handover_note(const relay_handover *h, const char *name, const char *device,
                                apr_pool_t *p)
{
    const char *had =
        *h->last ? apr_psprintf(p, "the device `%s'", h->last) : "a device without a label";

    switch (h->was) {
    case RELAY_NAME_TAKEN:
        return apr_psprintf(
            p,
            "the name `%s' is taken over from %s: browsers forget what that one left "
            "there, and visitors have to log in anew",
            name, had);
    case RELAY_NAME_UNSURE:
        return apr_psprintf(
            p,
            "the name `%s' was last known as %s, and %s, so it cannot be told whether "
            "this is the same device. It counts as the same, and what browsers hold "
            "of that one stays. Give devices labels (-d). If it is another device, "
            "close this tunnel and open it with --take-over",
            name, had, *device ? "its last tunnel had no label" : "this tunnel has no label");
    default:
        return NULL;
    }
}
