/*
 * How much a replica costs beside plain SQLite: documents of 1 KB in transactions of 1,000, one after the other in one
 * run, with the same pragmas. Prints documents a second by the clock and by the processor, and ratios to plain.
 *
 *   bench_replica [COUNT]
 */
#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sync/replica/replica.h"

#define BATCH 1000
#define BODY 1024

struct rate {
	double wall, cpu; /* documents a second */
};

struct bench {
	char dir[256];
	size_t count;
	char (*ids)[32];
	struct revision *made;  /* by put_edit, newest */
	struct revision *first; /* by put_edit, generation 1 */
	size_t *order;          /* of updates */
	struct timespec begin;
	double cpu_begin;
};

static void fail(const char *what, const struct qosid_errbuf *err)
{
	fprintf(stderr, "bench_replica: %s: %s\n", what, err ? err->what : "");
	exit(1);
}

static double cpu_seconds(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void start(struct bench *bench)
{
	(void)clock_gettime(CLOCK_MONOTONIC, &bench->begin);
	bench->cpu_begin = cpu_seconds();
}

static struct rate stop(const struct bench *bench)
{
	struct timespec end;
	double wall;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	wall = (double)(end.tv_sec - bench->begin.tv_sec) + (double)(end.tv_nsec - bench->begin.tv_nsec) / 1e9;
	return (struct rate){(double)bench->count / wall, (double)bench->count / (cpu_seconds() - bench->cpu_begin)};
}

static void print(const char *what, struct rate rate, const struct rate *plain)
{
	printf("%-34s %9.0f docs/s %9.0f docs/cpu-s", what, rate.wall, rate.cpu);
	if (plain)
		printf("   ratio %.2f  cpu ratio %.2f", rate.wall / plain->wall, rate.cpu / plain->cpu);
	printf("\n");
	fflush(stdout);
}

/* A record of about 1 KB, different for every document and version. */
static size_t make_body(char *out, size_t i, int version)
{
	int len = snprintf(out, BODY + 1,
	    "{\"type\":\"person\",\"number\":%zu,\"version\":%d,\"family\":\"Family%zu\",\"given\":\"Given%zu\","
	    "\"born\":\"19%02zu-%02zu-%02zu\",\"note\":\"",
	    i, version, i * 7919 % 100003, i * 104729 % 99991, 40 + i % 60, 1 + i % 12, 1 + i % 28);
	uint32_t state = (uint32_t)(i * 2654435761u + (unsigned)version + 1);

	while (len < BODY - 2) {
		state = state * 1664525u + 1013904223u;
		out[len++] = (char)('a' + (state >> 24) % 26);
	}
	memcpy(out + len, "\"}", 3);
	return (size_t)len + 2;
}

/* ---- plain SQLite ---- */

static void check(sqlite3 *db, int rc)
{
	if (rc != SQLITE_OK && rc != SQLITE_DONE) {
		fprintf(stderr, "bench_replica: sqlite: %s\n", sqlite3_errmsg(db));
		exit(1);
	}
}

static sqlite3 *open_plain(const struct bench *bench)
{
	char path[320];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/plain.db", bench->dir);
	check(NULL, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
	check(db, sqlite3_exec(db,
		      "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA "
		      "temp_store = MEMORY;"
		      "PRAGMA cache_size = -32768; PRAGMA secure_delete = FAST; PRAGMA wal_autocheckpoint = 2000;"
		      "CREATE TABLE t(id TEXT PRIMARY KEY, body TEXT)",
		      NULL, NULL, NULL));
	return db;
}

static struct rate run_plain(struct bench *bench, sqlite3 *db, const char *sql, const size_t *order, int version)
{
	char body[BODY + 8];
	sqlite3_stmt *statement;
	struct rate rate;

	check(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
	start(bench);
	for (size_t i = 0; i < bench->count; i++) {
		size_t n = order ? order[i] : i;
		size_t len = make_body(body, n, version);

		if (i % BATCH == 0)
			check(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
		check(db, sqlite3_bind_text(statement, 1, bench->ids[n], -1, SQLITE_STATIC));
		check(db, sqlite3_bind_text(statement, 2, body, (int)len, SQLITE_STATIC));
		check(db, sqlite3_step(statement));
		check(db, sqlite3_reset(statement));
		if (i % BATCH == BATCH - 1 || i == bench->count - 1)
			check(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
	}
	rate = stop(bench);
	sqlite3_finalize(statement);
	return rate;
}

/* ---- the replica ---- */

static struct replica *open_replica(const struct bench *bench, const char *name)
{
	struct qosid_errbuf err = {0};
	struct replica *replica;
	char path[320];

	(void)snprintf(path, sizeof(path), "%s/%s", bench->dir, name);
	if (replica_open(&replica, path, REPLICA_CREATE, &err) < 0)
		fail("open", &err);
	return replica;
}

static void begin_batch(struct replica *replica, size_t i)
{
	struct qosid_errbuf err = {0};

	if (i % BATCH == 0 && replica_begin(replica, &err) < 0)
		fail("begin", &err);
}

static void end_batch(struct replica *replica, size_t i, size_t count)
{
	struct qosid_errbuf err = {0};

	if ((i % BATCH == BATCH - 1 || i == count - 1) && replica_commit(replica, &err) < 0)
		fail("commit", &err);
}

static struct rate run_edits(struct bench *bench, struct replica *replica, const size_t *order, int version)
{
	struct qosid_errbuf err = {0};
	char body[BODY + 8];

	start(bench);
	for (size_t i = 0; i < bench->count; i++) {
		size_t n = order ? order[i] : i;
		struct replica_edit edit = {
		    .id = bench->ids[n],
		    .parent = order ? &bench->made[n] : NULL,
		    .user = "bench",
		    .time = 1764000000000 + (int64_t)i,
		};
		struct revision written;

		edit.body = (struct json_slice){body, make_body(body, n, version)};
		begin_batch(replica, i);
		if (replica_put_edit(replica, &edit, &written, &err) < 0)
			fail("put_edit", &err);
		bench->made[n] = written;
		end_batch(replica, i, bench->count);
	}
	return stop(bench);
}

static struct rate run_revisions(struct bench *bench, struct replica *replica)
{
	struct qosid_errbuf err = {0};
	char body[BODY + 8];

	start(bench);
	for (size_t i = 0; i < bench->count; i++) {
		const char *hash = bench->made[i].hash;
		struct replica_revision revision = {
		    .id = bench->ids[i],
		    .path = {1, &hash, 1, false},
		    .user = "bench",
		    .time = 1764000000000 + (int64_t)i,
		};

		revision.body = (struct json_slice){body, make_body(body, i, 1)};
		begin_batch(replica, i);
		if (replica_put_revision(replica, &revision, NULL, &err) < 0)
			fail("put_revision", &err);
		end_batch(replica, i, bench->count);
	}
	return stop(bench);
}

/* In the order of publication, which is that of the updates. */
static struct rate run_clear(struct bench *bench, struct replica *replica, const struct revision *revisions)
{
	struct qosid_errbuf err = {0};

	start(bench);
	for (size_t i = 0; i < bench->count; i++) {
		begin_batch(replica, i);
		if (replica_clear_pending(replica, bench->ids[bench->order[i]], &revisions[bench->order[i]], &err) < 0)
			fail("clear_pending", &err);
		end_batch(replica, i, bench->count);
	}
	return stop(bench);
}

static int count_record(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	(void)record;
	(void)err;
	++*(size_t *)context;
	return 0;
}

static struct rate run_pending(struct bench *bench, struct replica *replica)
{
	struct qosid_errbuf err = {0};
	size_t seen = 0;

	start(bench);
	if (replica_visit_pending(replica, count_record, &seen, &err) < 0)
		fail("visit_pending", &err);
	if (seen < bench->count)
		fail("visit_pending saw too little", NULL);
	return stop(bench);
}

static void prepare(struct bench *bench)
{
	uint32_t state = 20251125;

	bench->ids = calloc(bench->count, sizeof(*bench->ids));
	bench->made = calloc(bench->count, sizeof(*bench->made));
	bench->first = calloc(bench->count, sizeof(*bench->first));
	bench->order = calloc(bench->count, sizeof(*bench->order));
	if (!bench->ids || !bench->made || !bench->first || !bench->order)
		fail("out of memory", NULL);
	for (size_t i = 0; i < bench->count; i++) {
		(void)snprintf(bench->ids[i], sizeof(bench->ids[i]), "person/%010zu", i);
		bench->order[i] = i;
	}
	for (size_t i = bench->count - 1; i > 0; i--) {
		size_t j, kept = bench->order[i];

		state = state * 1664525u + 1013904223u;
		j = (size_t)((uint64_t)state * (i + 1) >> 32);
		bench->order[i] = bench->order[j];
		bench->order[j] = kept;
	}
}

static void clean_up(const struct bench *bench)
{
	static const char *const names[] = {"plain.db", "edits.db", "revisions.db"};
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[320];

	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < 3; j++) {
			(void)snprintf(path, sizeof(path), "%s/%s%s", bench->dir, names[i], suffixes[j]);
			(void)unlink(path); /* not every file is there */
		}
	(void)rmdir(bench->dir); /* a leftover is the temporary folder's matter */
}

int main(int argc, char **argv)
{
	struct bench bench = {.count = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000};
	const char *tmp = getenv("TMPDIR");
	struct replica *edits, *revisions;
	struct rate insert, update;
	sqlite3 *db;

	if (bench.count == 0) {
		fprintf(stderr, "usage: bench_replica [COUNT]\n");
		return 2;
	}
	(void)snprintf(bench.dir, sizeof(bench.dir), "%s/qosid-bench-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(bench.dir))
		fail(strerror(errno), NULL);
	prepare(&bench);
	printf("%zu documents of %d bytes in transactions of %d\n", bench.count, BODY, BATCH);

	db = open_plain(&bench);
	insert = run_plain(&bench, db, "INSERT INTO t(id, body) VALUES (?1, ?2)", NULL, 1);
	print("plain insert", insert, NULL);
	edits = open_replica(&bench, "edits.db");
	print("put_edit, new", run_edits(&bench, edits, NULL, 1), &insert);
	revisions = open_replica(&bench, "revisions.db");
	print("put_revision, new", run_revisions(&bench, revisions), &insert);

	update = run_plain(&bench, db, "UPDATE t SET body = ?2 WHERE id = ?1", bench.order, 2);
	print("plain update", update, NULL);
	sqlite3_close(db);
	memcpy(bench.first, bench.made, bench.count * sizeof(*bench.made));
	print("put_edit, update of published", run_edits(&bench, revisions, bench.order, 2), &update);
	memcpy(bench.made, bench.first, bench.count * sizeof(*bench.made));
	print("put_edit, update of unpublished", run_edits(&bench, edits, bench.order, 2), &update);
	print("visit_pending, two each", run_pending(&bench, edits), NULL);
	print("clear_pending, superseded ones", run_clear(&bench, edits, bench.first), NULL);
	print("clear_pending, current ones", run_clear(&bench, edits, bench.made), NULL);
	replica_close(edits);
	replica_close(revisions);
	clean_up(&bench);
	free(bench.ids);
	free(bench.made);
	free(bench.first);
	free(bench.order);
	return 0;
}
