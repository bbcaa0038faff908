/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The frames of HTTP/2 that a device sends, by their lengths only: adds up the fields of the newest
 * stream, packed and unpacked. It knows nothing of httpd, and takes any bytes, in any pieces.
 */
#ifndef MOD_RELAY_FRAMES_H
#define MOD_RELAY_FRAMES_H

#include "head.h"
#include "hpack.h"

#include <apr.h>

#define MOD_RELAY_FRAME_HEAD 9

/** All zero at first. */
typedef struct mod_relay_frames {
    unsigned char head[MOD_RELAY_FRAME_HEAD];
    unsigned have;           /* bytes of head so far */
    apr_uint32_t left;       /* bytes of the frame's payload that are still to come */
    apr_uint32_t stream;     /* the newest one */
    apr_uint32_t seen;       /* bytes of frames with fields of that stream */
    apr_uint32_t of_streams; /* frames that were not the connection's own */
    int begun;               /* the first frame has been looked at */
    int other;               /* it was no SETTINGS: not HTTP/2, and nothing is followed any more */
    apr_uint32_t before;     /* bytes of the payload before fields (priority) */
    apr_uint32_t pad;        /* and after them */
    int padded;              /* the first byte says how many */
    int block;               /* it has fields */
    mod_relay_hpack hpack;
} mod_relay_frames;

/**
 * Takes the next bytes.
 * @return 0 when the newest stream has had more than `most` bytes of fields, packed or unpacked, or
 * more than MOD_RELAY_FIELDS_MAX fields; and ever after, since nothing is followed then
 */
int mod_relay_frames_follow(mod_relay_frames *f, const char *data, apr_size_t length,
                            apr_uint32_t most);

#endif
