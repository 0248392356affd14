/*
 * What publish.c and generation.c share: a round, which is one transaction around change sets that are appended to the
 * own log (publish.c says why that loses nothing).
 */
#ifndef QOSID_SYNC_EXCHANGE_PUBLISH_INTERNAL_H
#define QOSID_SYNC_EXCHANGE_PUBLISH_INTERNAL_H

#include "sync/changeset/changeset.h"
#include "sync/exchange/exchange.h"

/* The two logs that a round moves. */
struct round {
	struct exchange *exchange;
	struct log office, files;
	struct log_point office_point, files_point;
	struct log_point office_before, files_before; /* where the round began */
	int64_t epoch;
	const char *recipient;
	uint8_t roster[LIMIT_ROSTER_HEADS][DIGEST_BYTES]; /* the heads of the newest state */
	size_t roster_count;
	struct dictionary_use use; /* ended by dictionary_use_end() */
	bool fresh;                /* use has not been brought by a change set yet */
	size_t bytes;
	size_t sets, revisions;
};

/* Find out whether and under what this office may publish, and take in what the own logs hold beyond the replica. *may
 * false: not yet. */
int publish_open(struct round *round, struct exchange *exchange, bool *may, struct qosid_errbuf *err);

/* Begin the transaction. */
int publish_begin(struct round *round, struct qosid_errbuf *err);

/* How payloads of this round are packed. */
void publish_choose_packing(const struct round *round, struct changeset_packing *out);

/* Queue the commits of a collected change set, and mark it as published. */
int publish_append(
    struct round *round, struct changeset_batch *batch, enum commit_snapshot snapshot, struct qosid_errbuf *err);

/* Put on disk what was appended, move the heads, commit. begin (may be NULL): what it appended begins a generation with
 * this commit, and the one before is kept when the rule says so. */
int publish_finish(struct round *round, const git_oid *begin, struct qosid_errbuf *err);

#endif
