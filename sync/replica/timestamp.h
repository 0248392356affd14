/*
 * Moments as text: RFC 3339 in UTC with milliseconds, "2026-11-25T08:00:00.123Z", the one form that Qosid writes and
 * reads. In memory they are Unix milliseconds. Years 0000 to 9999 of the Gregorian calendar, no leap seconds.
 */
#ifndef QOSID_SYNC_REPLICA_TIMESTAMP_H
#define QOSID_SYNC_REPLICA_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"

#define TIMESTAMP_BYTES 24
#define TIMESTAMP_SIZE (TIMESTAMP_BYTES + 1) /* with the NUL */

/* Write the text form, NUL-terminated. QOSID_ERR_INVALID for a moment outside the years above. */
int timestamp_format(char out[TIMESTAMP_SIZE], int64_t milliseconds, struct qosid_errbuf *err);

/* Read exactly that form of exactly len bytes; the date must exist. QOSID_ERR_INVALID otherwise. */
int timestamp_parse(int64_t *milliseconds, const char *text, size_t len, struct qosid_errbuf *err);

#endif
