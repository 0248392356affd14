/*
 * See offices.h.
 */
#include "offices.h"

#include <ftw.h>
#include <git2.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int offices_group_setup(void **state)
{
	(void)state;
	return sodium_init() < 0 || git_libgit2_init() < 0 ? -1 : 0;
}

int offices_group_teardown(void **state)
{
	(void)state;
	(void)git_libgit2_shutdown();
	return 0;
}

const char *offices_path(const struct offices *offices, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", offices->dir, name);
	return path;
}

void must(int rc, const struct qosid_errbuf *err)
{
	if (rc != 0)
		fail_msg("%s: %s (%s)", qosid_error_name(rc), err->what, err->where);
}

int offices_setup(void **state)
{
	struct offices *offices = calloc(1, sizeof(*offices));
	struct qosid_errbuf err = {0};

	assert_non_null(offices);
	(void)snprintf(offices->dir, sizeof(offices->dir), "%s/qosid-test-XXXXXX",
	    getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(offices->dir));
	must(space_create(offices_path(offices, "dushanbe"), "dushanbe", NULL, &err), &err);
	offices->steward = offices_open(offices, "dushanbe");
	must(space_add_remote(offices->steward, "origin", offices_path(offices, "remote.git"), true, &err), &err);
	*state = offices;
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void remove_folder(const char *dir)
{
	assert_int_equal(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int offices_teardown(void **state)
{
	struct offices *offices = *state;

	space_close(offices->steward);
	remove_folder(offices->dir);
	free(offices);
	return 0;
}

struct space *offices_open(const struct offices *offices, const char *office)
{
	struct qosid_errbuf err = {0};
	struct space *space = NULL;

	must(space_open(&space, offices_path(offices, office), false, NULL, &err), &err);
	return space;
}

static void admit(struct offices *offices, struct qosid_buf *request, const char *roles)
{
	struct qosid_errbuf err = {0};
	struct roster_member member;
	unsigned bits;

	must(request_parse(&member, space_id(offices->steward), (const char *)request->data, request->len, &err), &err);
	must(roster_parse_roles(&bits, roles, &err), &err);
	must(space_admit(offices->steward, &member, bits, false, NULL, &err), &err);
}

struct space *offices_add(struct offices *offices, const char *office, const char *roles)
{
	struct roster_invitation invitation;
	struct qosid_errbuf err = {0};
	struct qosid_buf request = {0};

	must(space_invite(offices->steward, &invitation, &err), &err);
	must(space_join(offices_path(offices, office), office, &invitation, NULL, &request, &err), &err);
	if (roles != NULL)
		admit(offices, &request, roles);
	qosid_buf_free(&request);
	return offices_open(offices, office);
}

void offices_admit(struct offices *offices, struct space *space, const char *roles)
{
	const struct identity *identity;
	struct qosid_errbuf err = {0};
	struct qosid_buf request = {0};

	must(space_identity(space, &identity, &err), &err);
	must(request_format(&request, space_id(space), space_office(space), identity, &err), &err);
	admit(offices, &request, roles);
	qosid_buf_free(&request);
}

static void store(struct space *space, const char *id, const char *body, struct json_slice attachments)
{
	struct replica *replica = space_replica(space);
	struct replica_record record = {0};
	struct replica_edit edit = {.id = id,
	    .body = {body, strlen(body)},
	    .attachments = attachments,
	    .user = "tester",
	    .time = 1764000000000};
	struct qosid_errbuf err = {0};
	struct revision written;

	must(replica_begin(replica, &err), &err);
	if (replica_read_document(replica, id, NULL, &record, NULL) == 0)
		edit.parent = &record.rev;
	must(replica_put_edit(replica, &edit, &written, &err), &err);
	must(replica_commit(replica, &err), &err);
	replica_record_free(&record);
}

void put(struct space *space, const char *id, const char *body)
{
	store(space, id, body, (struct json_slice){0});
}

void put_attachment(struct space *space, const char *id, const char *name, const void *data, size_t len)
{
	size_t size = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
	char *base64 = malloc(size);
	struct qosid_buf text = {0};

	assert_non_null(base64);
	(void)sodium_bin2base64(base64, size, data, len, sodium_base64_VARIANT_ORIGINAL);
	assert_int_equal(qosid_buf_append_format(&text, NULL,
			     "{\"%s\":{\"content_type\":\"application/octet-stream\",\"data\":\"%s\"}}", name, base64),
	    0);
	store(space, id, "{}", (struct json_slice){(const char *)text.data, text.len});
	qosid_buf_free(&text);
	free(base64);
}

const char *get(struct space *space, const char *id)
{
	static char body[4096];
	struct replica_record record = {0};
	int rc = replica_read_document(space_replica(space), id, NULL, &record, NULL);

	if (rc == 0)
		(void)snprintf(body, sizeof(body), "%s", (const char *)record.body.data);
	replica_record_free(&record);
	return rc == 0 ? body : NULL;
}

struct exchange_report meet(struct space *space, const char *remote)
{
	struct exchange_report report;
	struct qosid_errbuf err = {0};

	must(space_exchange(space, remote, NULL, &report, &err), &err);
	return report;
}

void assert_equal_replicas(struct space *a, struct space *b)
{
	uint8_t ours[DIGEST_BYTES], theirs[DIGEST_BYTES];
	struct qosid_errbuf err = {0};

	must(replica_compute_digest(space_replica(a), ours, &err), &err);
	must(replica_compute_digest(space_replica(b), theirs, &err), &err);
	assert_memory_equal(ours, theirs, DIGEST_BYTES);
}

struct count {
	const char *cause;
	size_t count;
};

static int count_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct count *count = context;

	(void)err;
	if (count->cause == NULL || strcmp(count->cause, finding->cause) == 0)
		count->count++;
	return 0;
}

size_t count_findings(struct space *space, const char *cause)
{
	struct count count = {cause, 0};
	struct qosid_errbuf err = {0};

	must(replica_visit_findings(space_replica(space), count_finding, &count, &err), &err);
	return count.count;
}

void copy_folder(const char *from, const char *to)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		(void)execlp("cp", "cp", "-a", from, to, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
