/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: the frames of HTTP/2 that a device sends, as mod_relay counts their headers. */

#include "../../mod_relay/answer/frames.h"
#include "fuzz.h"

#define MOST 300

/* The same bytes in one piece, and byte by byte, mean the same; what is counted has been sent, or
 * announced. */
int fuzz_frames(const char *text, size_t size, apr_pool_t *p)
{
    mod_relay_frames whole = {.have = 0}, bytes = whole;
    int good = mod_relay_frames_follow(&whole, text, size, MOST), each = 1;
    size_t i;

    for (i = 0; i < size && each; i++)
        each = mod_relay_frames_follow(&bytes, text + i, 1, MOST);
    MUST(good == each);
    MUST(whole.have < MOD_RELAY_FRAME_HEAD && whole.left < (1U << 24));
    MUST(whole.stream == bytes.stream && whole.seen == bytes.seen && whole.other == bytes.other &&
         whole.left == bytes.left);
    MUST(good == (whole.seen <= MOST));
    MUST(!whole.other || !whole.seen);
    MUST(good || !mod_relay_frames_follow(&whole, text, size, MOST));
    return good && whole.begun && !whole.other;
}
