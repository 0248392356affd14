/*
 * Make a space of many offices with a long history, for measurements: bench_space DIR OFFICES SETS.
 *
 * DIR/hub.git is the repository where they meet, DIR/dushanbe (the steward), DIR/khujand and DIR/office-2.. are the
 * offices. SETS change sets of one document of 1 KB, published one by one, are spread evenly over them, as after years
 * of work. They have not met since they began: stock git brings their logs to the hub quicker than each applying all
 * others' would.
 */
#include <git2.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/space.h"

#define TEXT_BYTES 800

static uint64_t random_state = 20261125;

static void fail(const char *what, const struct qosid_errbuf *err)
{
	(void)fprintf(stderr, "bench_space: %s: %s %s\n", what, err->what, err->where);
	exit(1);
}

static unsigned draw(unsigned limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % limit;
}

static void publish_one(struct space *space, unsigned n)
{
	char id[32], body[TEXT_BYTES + 100];
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	struct revision written;
	size_t len;

	(void)snprintf(id, sizeof(id), "person:%07u", n);
	len = (size_t)snprintf(body, sizeof(body), "{\"type\":\"person\",\"born\":%u,\"notes\":\"", 1940 + draw(70));
	while (len < TEXT_BYTES)
		len += (size_t)snprintf(body + len, sizeof(body) - len, "%x ", draw(1u << 20));
	(void)snprintf(body + len, sizeof(body) - len, "\"}");
	const struct replica_edit edit = {
	    .id = id, .user = "registrar", .time = 1764000000000 + n, .body = {body, strlen(body)}};
	if (replica_begin(space_replica(space), &err) != 0 ||
	    replica_put_edit(space_replica(space), &edit, &written, &err) != 0 ||
	    replica_commit(space_replica(space), &err) != 0 || space_publish(space, NULL, &report, &err) != 0)
		fail("publishing", &err);
	if (report.sets_published != 1)
		fail("publishing", &(struct qosid_errbuf){.what = "it became no change set of its own"});
}

static void join(struct space *steward, const char *dir, const char *office)
{
	struct roster_invitation invitation;
	struct qosid_errbuf err = {0};
	struct qosid_buf request = {0};
	struct roster_member member;

	if (space_invite(steward, &invitation, &err) != 0 ||
	    space_join(dir, office, &invitation, NULL, &request, &err) != 0 ||
	    request_parse(&member, space_id(steward), (char *)request.data, request.len, &err) != 0 ||
	    space_admit(steward, &member, ROLE_WRITER | ROLE_READER, false, NULL, &err) != 0)
		fail(office, &err);
	qosid_buf_free(&request);
}

static void exchange(struct space *space)
{
	struct qosid_errbuf err = {0};
	struct exchange_report report;

	if (space_exchange(space, "origin", NULL, &report, &err) != 0)
		fail("exchange", &err);
	if (report.findings > 0 || report.waiting > 0)
		fail("exchange", &(struct qosid_errbuf){.what = "something was found"});
}

static void format_office(char *out, size_t size, const char *dir, unsigned n)
{
	if (n < 2)
		(void)snprintf(out, size, "%s/%s", dir, n == 0 ? "dushanbe" : "khujand");
	else
		(void)snprintf(out, size, "%s/office-%u", dir, n);
}

int main(int argc, char **argv)
{
	unsigned offices = argc > 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	unsigned sets = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0, done = 0;
	struct space *steward, *space;
	struct qosid_errbuf err = {0};
	char dir[600], remote[600];

	if (offices < 2 || offices > 900 || sets < offices) {
		(void)fprintf(stderr, "usage: bench_space DIR OFFICES SETS\n");
		return 2;
	}
	if (sodium_init() < 0 || git_libgit2_init() < 0)
		fail("cannot start", &err);
	(void)snprintf(dir, sizeof(dir), "%s/dushanbe", argv[1]);
	(void)snprintf(remote, sizeof(remote), "%s/hub.git", argv[1]);
	if (space_create(dir, "dushanbe", NULL, &err) != 0 || space_open(&steward, dir, false, NULL, &err) != 0 ||
	    space_add_remote(steward, "origin", remote, true, &err) != 0)
		fail("the steward", &err);
	for (unsigned n = 1; n < offices; n++) {
		format_office(dir, sizeof(dir), argv[1], n);
		join(steward, dir, strrchr(dir, '/') + 1);
	}
	exchange(steward);
	for (unsigned n = 0; n < offices; n++) {
		format_office(dir, sizeof(dir), argv[1], n);
		if (space_open(&space, dir, false, NULL, &err) != 0)
			fail(dir, &err);
		exchange(space);
		for (unsigned last = (unsigned)((uint64_t)sets * (n + 1) / offices); done < last; done++)
			publish_one(space, done);
		space_close(space);
	}
	space_close(steward);
	(void)git_libgit2_shutdown();
	return 0;
}
