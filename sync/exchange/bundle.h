/*
 * Bundles: logs in one file, in git's bundle format v2, for a stick or a letter (docs/format.md, "Bundles").
 *
 * A bundle is as safe to lose as a remote: what is in it is signed, and records are encrypted. Stock git verifies and
 * clones it.
 */
#ifndef QOSID_SYNC_EXCHANGE_BUNDLE_H
#define QOSID_SYNC_EXCHANGE_BUNDLE_H

#include "sync/exchange/exchange.h"

struct bundle_summary {
	size_t logs, commits;
	uint64_t bytes; /* of the file; 0: there was nothing to write, and no file was made */
};

/* Write what this office has verified to the file path, whole or not at all; it replaces a file of this name only when
 * it is complete and on disk. recipient NULL: everything. Otherwise the recipient's own log and what its newest commits
 * say that it had seen of the others are left out, and become prerequisites; roster and files logs are always whole.
 * QOSID_ERR_NOTFOUND: we hold no log of the recipient, so what it lacks is not known. */
int bundle_create(struct exchange *exchange, const char *path, const char *recipient, struct bundle_summary *summary,
    struct qosid_errbuf *err);

#endif
