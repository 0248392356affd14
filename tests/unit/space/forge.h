/*
 * Hostile commits: built line by line and signed like honest ones, so that each test can get one thing wrong. And the
 * stage on which they are tried: a remote with an honest office, one that forges, and one that shall not be fooled.
 */
#ifndef QOSID_TESTS_UNIT_SPACE_FORGE_H
#define QOSID_TESTS_UNIT_SPACE_FORGE_H

#include <git2.h>

#include "offices.h"

/* The offices of a test. */
struct stage {
	struct offices *offices;
	struct space *rogue;  /* "khujand": its log is tampered with; holds change sets 1 and 2, documents good-1, -2 */
	struct space *honest; /* "bokhtar": its log must go on */
	struct space *victim; /* "london": has met the remote when khujand's log was at 1 */
	git_oid commits[3];   /* commits[n]: change set n of khujand, from 1 */
	git_repository *remote; /* opened by stock libgit2 */
};
void stage_open(struct stage *stage, struct offices *offices);
void stage_close(struct stage *stage);

/* What the victim must be like after it has met a remote whose log office/khujand is bad after `applied` change sets:
 * the exchange works, bokhtar's document is here, nothing of the bad set is, the finding names log, sequence and one of
 * the causes ("sequence|chain"), what is here verifies. causes NULL: no finding, the log waits. */
void stage_assert_refused(struct stage *stage, int64_t applied, const char *causes, const char *name);

/* After the remote offers the good log again: khujand publishes good-3, the victim gets it, no finding is left. */
void stage_assert_healed(struct stage *stage, const char *name);

/* Point a ref of the remote somewhere, whatever it was. */
void stage_set_ref(struct stage *stage, const char *ref, const git_oid *id);

/* An object of the remote. */
void stage_write(struct stage *stage, git_object_t type, const void *data, size_t len, git_oid *id);

/* A commit about to be made: unsigned text and what it names. */
struct forgery {
	struct qosid_buf text; /* headers, empty line, message */
	struct qosid_buf payload;
	git_oid payload_id, tree;
};

/* Change set 3 of khujand, all of it right: payload holds document "evil". */
void forge_begin(struct stage *stage, struct forgery *forgery);
void forge_free(struct forgery *forgery);

/* The plain text of an honest payload; sealed as it is in forge_set_payload(). */
void forge_format_header(struct stage *stage, struct qosid_buf *out, const char *office, int64_t sequence);
void forge_format_line(struct qosid_buf *out, const char *id);

/* Compress and encrypt, each when wanted. */
enum forge_seal { FORGE_ZSTD = 1, FORGE_AGE = 2 };
void forge_seal(struct stage *stage, struct qosid_buf *out, const void *plain, size_t len, unsigned seal);

/* Take another payload, or another tree; the commit says what it must about it. */
void forge_set_payload(struct stage *stage, struct forgery *forgery, const struct qosid_buf *payload);
void forge_set_tree(struct stage *stage, struct forgery *forgery, const struct qosid_buf *raw);
void forge_add_entry(struct qosid_buf *raw, const char *mode, const char *name, const git_oid *id);

/* Change lines of the text: the one that starts with prefix becomes line (NULL: it goes). */
void forge_replace(struct forgery *forgery, const char *prefix, const char *line);

/* Sign (signer NULL: do not), write, and point refs/heads/office/khujand (or another ref) at it. */
void forge_finish(
    struct stage *stage, struct forgery *forgery, const struct identity *signer, const char *ref, git_oid *id);

#endif
