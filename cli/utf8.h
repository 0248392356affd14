/*
 * Whether bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF).
 */
#ifndef QOSID_CLI_UTF8_H
#define QOSID_CLI_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* On false, *offset (may be NULL) is that of the first byte of the first bad sequence. */
bool utf8_valid(const char *text, size_t len, size_t *offset);

#endif
