/*
 * Offices in a scratch folder, for the tests of whole spaces.
 */
#ifndef QOSID_TESTS_UNIT_SPACE_OFFICES_H
#define QOSID_TESTS_UNIT_SPACE_OFFICES_H

#include "sync/space.h"

/* A scratch folder with the steward's space "dushanbe" and the repository "remote.git", which is its remote "origin".
 */
struct offices {
	char dir[64];
	struct space *steward;
};

/* cmocka group set-up and tear-down: libraries, and one struct offices a test in *state. */
int offices_group_setup(void **state);
int offices_group_teardown(void **state);
int offices_setup(void **state);
int offices_teardown(void **state);

/* "SCRATCH/name"; valid until the next call but three. */
const char *offices_path(const struct offices *offices, const char *name);

/* Fail the test with the error's text unless rc is 0. */
void must(int rc, const struct qosid_errbuf *err);

/* Join, be admitted with these roles ("writer,reader"; NULL: not yet), and open. */
struct space *offices_add(struct offices *offices, const char *office, const char *roles);
void offices_admit(struct offices *offices, struct space *space, const char *roles);
struct space *offices_open(const struct offices *offices, const char *office);

/* Store a document (parent: the current winner), delete one, read one's body (NULL: not there; static). */
void put(struct space *space, const char *id, const char *body);
void put_attachment(struct space *space, const char *id, const char *name, const void *data, size_t len);
const char *get(struct space *space, const char *id);

/* One exchange with a remote, which must not fail; the report is returned. */
struct exchange_report meet(struct space *space, const char *remote);

void assert_equal_replicas(struct space *a, struct space *b);

/* How many findings there are whose cause is this (NULL: any). */
size_t count_findings(struct space *space, const char *cause);

/* Copy and remove a folder with everything in it. */
void copy_folder(const char *from, const char *to);
void remove_folder(const char *dir);

#endif
