/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * How long the head of a device's answer may be: all lines, or frames of headers, that come before
 * its body, interim answers included. Browsers' own limits are no larger.
 */
#ifndef MOD_RELAY_HEAD_H
#define MOD_RELAY_HEAD_H

#define MOD_RELAY_HEAD_MAX 262144 /* bytes, packed or unpacked */

/** Each field costs httpd a kilobyte; devices say some twenty. */
#define MOD_RELAY_FIELDS_MAX 500

#endif
