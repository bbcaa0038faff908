/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The bounds on the head of a device's answer: all lines, or frames with fields, that come before
 * its body, interim answers included. Browsers' own limits are no larger.
 */
#ifndef MOD_RELAY_HEAD_H
#define MOD_RELAY_HEAD_H

#define MOD_RELAY_HEAD_MAX 262144 /* bytes, packed or unpacked */

/** Each field costs httpd a kilobyte; devices send some twenty. */
#define MOD_RELAY_FIELDS_MAX 500

/** One field, with its name; 64 kB and some for the name. */
#define MOD_RELAY_FIELD_MAX (65536 + 1024)

#endif
