/*
 * What commit_format.c and commit_parse.c share: one set of rules for what is written and what is accepted.
 */
#ifndef QOSID_SYNC_EXCHANGE_COMMIT_INTERNAL_H
#define QOSID_SYNC_EXCHANGE_COMMIT_INTERNAL_H

#include "sync/exchange/commit.h"

#define COMMIT_SUBJECT_BYTES 200u
#define COMMIT_TIME_MAX INT64_C(253402300799) /* the end of the year 9999: git and ssh-keygen take no later times */
#define COMMIT_PERSON_SIZE (2 * LIMIT_SLUG_BYTES + 64)

/* "khujand <khujand@0123abcd.qosid> 1735689600 +0000". */
void commit_format_person(char out[COMMIT_PERSON_SIZE], const struct commit *commit);

/* The words of Qosid-Snapshot, by enum commit_snapshot; NULL for SNAPSHOT_NONE. */
const char *commit_snapshot_name(enum commit_snapshot snapshot);

/* Whether all fields hold together; QOSID_ERR_INVALID or _LIMIT name the header or trailer that does not. */
int commit_check(const struct commit *commit, struct qosid_errbuf *err);

#endif
