/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Checks text from outside that ends up in logs, on terminals and in the environment of requests:
 * is it UTF-8, and is it safe to show?
 */
#ifndef RELAY_TEXT_H
#define RELAY_TEXT_H

/**
 * Decodes one character as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond
 * U+10FFFF.
 * @param text ends with NUL, which is a character of one byte here
 * @return its length in bytes, or 0 where the text is no UTF-8
 */
int relay_text_decode(const char *text, unsigned long *code);

/** Whether a character is one that a terminal or an editor acts on instead of showing it: controls,
 * line and paragraph separators, and what turns the direction of the text around it. */
int relay_text_is_harmful(unsigned long code);

/** Decodes the %XX of a URL in place. @return whether all are right, and none is a NUL */
int relay_text_unescape(char *text);

/** Whether the whole text is UTF-8. */
int relay_text_is_utf8(const char *text);

/** Whether the whole text is UTF-8 without anything harmful. */
int relay_text_is_plain(const char *text);

#endif
