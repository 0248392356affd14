/*
 * Qosid's commits as bytes (docs/format.md, "Commit"): building, signing, parsing, verifying. No repository here.
 *
 * Parsing is stricter than git's: exactly the headers tree, parent (none or one), author, committer, gpgsig, in that
 * order, author equal to committer, time zone +0000, then the message: one human line, a blank line, the trailers in
 * their fixed order, each once (Qosid-Roster and Qosid-Seen any number, sorted). What is accepted here, stock `git
 * verify-commit` accepts too.
 */
#ifndef QOSID_SYNC_EXCHANGE_COMMIT_H
#define QOSID_SYNC_EXCHANGE_COMMIT_H

#include <git2.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "crypto/keys.h"
#include "sync/limits.h"

#define COMMIT_FORMAT 1

/* Where a commit stands in the snapshot that a generation begins with. */
enum commit_snapshot {
	SNAPSHOT_NONE,
	SNAPSHOT_FIRST,
	SNAPSHOT_PART,
	SNAPSHOT_LAST,
	SNAPSHOT_WHOLE /* first and last */
};

/* A tip of another log, as seen when the commit was made. */
struct commit_seen {
	char office[LIMIT_SLUG_BYTES + 1];
	int64_t sequence;
	git_oid commit;
};

/* Everything a commit says. Starts as {0}; ended by commit_free(). */
struct commit {
	git_oid tree;
	bool has_parent; /* false exactly when sequence is 1, and where a generation begins */
	git_oid parent;
	char office[LIMIT_SLUG_BYTES + 1]; /* author, committer and Qosid-Office */
	int64_t time;                      /* Unix seconds */
	char *subject;                     /* one line, UTF-8, no control characters, at most 200 bytes */
	char space[33];
	int64_t sequence;
	int64_t generation; /* 1 without Qosid-Generation (0 when about to be written: as log_append() finds it) */
	enum commit_snapshot snapshot;
	git_oid archive; /* Qosid-Archive: the last commit of the generation before; where one begins */
	int64_t epoch;   /* 0: no Qosid-Epoch trailer (roster commits) */
	uint8_t roster[LIMIT_ROSTER_HEADS][DIGEST_BYTES]; /* Qosid-Roster: the heads of the state, sorted */
	size_t roster_count;
	uint8_t content[DIGEST_BYTES];            /* Qosid-Content */
	bool has_dictionary;                      /* the payload is compressed with one */
	uint8_t dictionary[DIGEST_BYTES];         /* Qosid-Dictionary: its digest in clear */
	bool brings_dictionary;                   /* the tree holds it, as dictionary.age */
	uint8_t dictionary_content[DIGEST_BYTES]; /* Qosid-Dictionary-Content: digest of dictionary.age */
	uint8_t previous[DIGEST_BYTES];           /* Qosid-Previous; from sequence 2 on */
	char file_digest[DIGEST_TEXT_SIZE];       /* Qosid-File: of the whole attachment (files logs); "" when absent */
	int64_t file_part, file_parts;            /* Qosid-Part: <part>/<parts>, from 1 */
	struct commit_seen *seen;
	size_t seen_count;
};
void commit_free(struct commit *commit);

/* Whether a generation begins with this commit. */
static inline bool commit_begins(const struct commit *commit)
{
	return commit->snapshot == SNAPSHOT_FIRST || commit->snapshot == SNAPSHOT_WHOLE;
}

/* Append the raw signed commit object for git. */
int commit_format(
    struct qosid_buf *out, const struct commit *commit, const struct identity *identity, struct qosid_errbuf *err);

/* Parse a raw commit object. QOSID_ERR_INVALID or _LIMIT name the header or trailer. The signature is split off, not
 * checked: *signature and *payload (the bytes that were signed) are appended to the two buffers. */
int commit_parse(struct commit *out, const void *data, size_t len, struct qosid_buf *signature,
    struct qosid_buf *payload, struct qosid_errbuf *err);

/* Parse, and check the signature by this key. */
int commit_verify(struct commit *out, const void *data, size_t len, const uint8_t signer[SIGNING_PUBLIC_BYTES],
    struct qosid_errbuf *err);

#endif
