/*
 * CouchDB's view collation: null < false < true < numbers < strings < arrays < objects.
 *
 * Strings collate as the ICU root locale does (tertiary strength), numbers by their exact value whatever their size,
 * arrays element by element, objects member by member in the order written; a shorter one sorts first. collate_key()
 * makes keys whose memcmp() order is collate_compare()'s order, and which are equal exactly when that says 0. All
 * values are checked JSON.
 */
#ifndef QOSID_SYNC_REPLICA_COLLATE_H
#define QOSID_SYNC_REPLICA_COLLATE_H

#include <stdbool.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/replica/json.h"

#define COLLATE_KEY_MAX 0xff /* sorts after every key; append it to a key prefix to make an upper bound */

struct collator; /* with scratch memory: one a thread */

int collator_open(struct collator **out, struct qosid_errbuf *err);
void collator_close(struct collator *collator); /* accepts NULL */

/* *order is <0, 0, >0. raw: compare strings by code points, not by ICU (document ids). */
int collate_compare(struct collator *collator, struct json_slice a, struct json_slice b, bool raw, int *order,
    struct qosid_errbuf *err);

/* Compare two numbers. */
int collate_numbers(struct json_slice a, struct json_slice b);

/* Append the key of a value. Keys may be concatenated; the result sorts like the array of the values. */
int collate_key(
    struct collator *collator, struct json_slice value, bool raw, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
