/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "frames.h"

enum { HEADERS = 1, SETTINGS = 4, CONTINUATION = 9 };
enum { PADDED = 8, PRIORITY = 0x20, PRIORITY_SIZE = 5 };

/* A frame begins. @return 0 when it is too much */
static int begin_frame(mod_relay_frames *f, apr_uint32_t most)
{
    const unsigned char *h = f->head;
    apr_uint32_t length = ((apr_uint32_t)h[0] << 16) | ((apr_uint32_t)h[1] << 8) | h[2];
    apr_uint32_t stream = ((apr_uint32_t)(h[5] & 0x7f) << 24) | ((apr_uint32_t)h[6] << 16) |
                          ((apr_uint32_t)h[7] << 8) | h[8];

    f->have = 0;
    if (!f->begun && (h[3] != SETTINGS || stream)) {
        f->other = 1;
        return 1;
    }
    f->begun = 1;
    f->of_streams += stream != 0;
    f->left = length;
    f->block = h[3] == HEADERS || h[3] == CONTINUATION;
    f->padded = h[3] == HEADERS && (h[4] & PADDED);
    f->before = h[3] == HEADERS && (h[4] & PRIORITY) ? PRIORITY_SIZE : 0;
    f->pad = 0;
    if (h[3] != HEADERS && h[3] != CONTINUATION)
        return 1;
    /* The numbers of streams rise. libnghttp2 ends the connection at a number that it has not asked
     * for. */
    if (h[3] == HEADERS && stream > f->stream) {
        f->stream = stream;
        f->seen = f->hpack.size = f->hpack.fields = 0;
    }
    f->seen += length + MOD_RELAY_FRAME_HEAD;
    return f->seen <= most;
}

/* One byte of a payload with fields. @return 0 when they are too much */
static int follow_block(mod_relay_frames *f, unsigned char byte, apr_uint32_t most)
{
    f->left--;
    if (f->padded) {
        f->pad = byte;
        f->padded = 0;
        return 1;
    }
    if (f->before) {
        f->before--;
        return 1;
    }
    if (f->left < f->pad || (mod_relay_hpack_follow(&f->hpack, byte) && f->hpack.size <= most &&
                             f->hpack.fields <= MOD_RELAY_FIELDS_MAX))
        return 1;
    f->seen = most + 1;
    return 0;
}

int mod_relay_frames_follow(mod_relay_frames *f, const char *data, apr_size_t length,
                            apr_uint32_t most)
{
    int good = f->seen <= most;

    while (length && good && !f->other) {
        if (f->left && f->block) {
            good = follow_block(f, (unsigned char)*data++, most);
            length--;
            continue;
        }
        if (f->left) {
            apr_uint32_t skip = length < f->left ? (apr_uint32_t)length : f->left;

            f->left -= skip;
            data += skip;
            length -= skip;
            continue;
        }
        f->head[f->have++] = (unsigned char)*data++;
        length--;
        if (f->have == MOD_RELAY_FRAME_HEAD)
            good = begin_frame(f, most);
    }
    return good;
}
