/*
 * What the tests of the replica's storage share: a scratch replica, and short ways to write and read that fail the test
 * on any error.
 */
#ifndef TESTS_UNIT_REPLICA_STORE_SUPPORT_H
#define TESTS_UNIT_REPLICA_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sync/replica/replica.h"

struct scratch {
	char dir[256];
	char path[320];
	struct replica *replica;
	struct qosid_errbuf err;
	char text[REVISION_TEXT_SIZE]; /* of the revision written last */
};

/* cmocka fixtures: *state is a struct scratch with an open empty replica. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
void scratch_reopen(struct scratch *scratch);

/* Show err and fail unless rc is what was expected. */
#define assert_rc(scratch, call, expected) check_rc((scratch), (call), (expected), #call, __FILE__, __LINE__)
void check_rc(struct scratch *scratch, int rc, int expected, const char *call, const char *file, int line);

struct json_slice slice(const char *text); /* NULL: empty */
struct revision rev_of(const char *text);

/* One edit in a transaction of its own (or in the open one). Returns the code; scratch->text is the revision. */
int try_edit(struct scratch *scratch, const char *id, const char *parent, bool deleted, const char *body,
    const char *attachments);
/* As above, expecting success. The result is scratch->text. */
const char *edit(struct scratch *scratch, const char *id, const char *parent, const char *body);
const char *edit_delete(struct scratch *scratch, const char *id, const char *parent);

/* A revision made elsewhere. path is "3-c b a": generation and hashes, newest first. */
int try_merge(struct scratch *scratch, const char *id, const char *path, bool deleted, const char *body,
    const char *attachments, bool pending, enum revtree_outcome *outcome);
enum revtree_outcome merge(
    struct scratch *scratch, const char *id, const char *path, bool deleted, const char *body, bool pending);

/* Check the winner, or a stored revision, and its body. */
void expect_winner(struct scratch *scratch, const char *id, const char *rev, bool deleted, const char *body);
void expect_revision(struct scratch *scratch, const char *id, const char *rev, const char *body);
void expect_missing(struct scratch *scratch, const char *id, const char *rev, const char *why);
void expect_render(struct scratch *scratch, const char *id, const char *rev, unsigned options, const char *expected);

struct replica_info info(struct scratch *scratch);

/* "id@rev id@rev ..." of a visit; the caller frees the buffer. */
int list_record(void *context, const struct replica_record *record, struct qosid_errbuf *err);
void expect_pending(struct scratch *scratch, const char *expected);

/* A small fixed-seed generator. */
uint32_t random_next(uint64_t *state);

#endif
