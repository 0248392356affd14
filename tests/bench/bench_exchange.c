/*
 * The whole way of a change, measured: documents of about 1 KB go from one office's replica through a repository in a
 * folder into another office's replica, beside plain SQLite inserts of the same documents in the same run.
 *
 *     bench_exchange [DOCUMENTS [LONE]]     (100000 in bulk, 300 one by one; below $TMPDIR, removed afterwards)
 *
 * Counted for the way: CPU time of this process from reading the first office's replica to the commit in the second's
 * (read, zstd, encrypt, sign, git, copy, verify, decrypt, apply). Writing the documents into the first replica is
 * reported apart.
 */
#include <ftw.h>
#include <git2.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "sync/space.h"

#define BATCH 1000

struct stopwatch {
	double cpu, wall;
};

static void fail(const char *what, const struct qosid_errbuf *err)
{
	(void)fprintf(
	    stderr, "bench_exchange: %s: %s %s\n", what, err != NULL ? err->what : "", err != NULL ? err->where : "");
	exit(1);
}

static struct stopwatch read_clock(void)
{
	struct rusage usage;
	struct timespec now;

	(void)getrusage(RUSAGE_SELF, &usage);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct stopwatch){
	    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	    (double)now.tv_sec + (double)now.tv_nsec / 1e9,
	};
}

static struct stopwatch since(struct stopwatch begin)
{
	struct stopwatch now = read_clock();

	return (struct stopwatch){now.cpu - begin.cpu, now.wall - begin.wall};
}

/* ---- documents: seeded, shaped like the register's people ---- */

static uint64_t random_state = 20261125;

static unsigned random_below(unsigned limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 11) % limit);
}

static const char *pick(const char *const *list, size_t count)
{
	return list[random_below((unsigned)count)];
}

#define PICK(list) pick(list, sizeof(list) / sizeof((list)[0]))

static const char *const given[] = {"Фарҳод", "Зарина", "Рустам", "Нигора", "Ҷамшед", "Мадина", "Сорбон", "Гулнора",
    "Шерзод", "Парвина", "Умед", "Тахмина", "Далер", "Сайёра", "Фирӯз", "Манижа", "Баҳром", "Ситора", "Аъзам", "Лола"};
static const char *const family[] = {"Раҳимов", "Саидов", "Назаров", "Каримов", "Шарипов", "Ҳакимов", "Юсупов",
    "Мирзоев", "Қодиров", "Давлатов", "Ғафуров", "Исмоилов", "Бобоев", "Файзов", "Ӯзбеков"};
static const char *const places[] = {"Душанбе", "Хуҷанд", "Бохтар", "Кӯлоб", "Хоруғ", "Панҷакент", "Турсунзода",
    "Исфара", "Ваҳдат", "London", "Москва", "Екатеринбург", "Berlin", "Toronto", "Istanbul", "Almaty"};
static const char *const words[] = {"teaching", "mathematics", "nursing", "welding", "irrigation", "software",
    "accounting", "surgery", "translation", "law", "architecture", "cotton", "hydropower", "tourism", "logistics",
    "pharmacy", "carpentry", "statistics", "experience", "years", "project", "volunteer", "mentoring", "weekend",
    "online", "course", "regional", "hospital", "school", "women", "youth", "grant", "training", "certificate",
    "engineer", "manager", "lead", "research", "language", "community", "diaspora", "return", "invest", "business",
    "startup", "farm", "milk", "solar", "bridge", "road", "water", "safety", "food", "textile", "design", "music",
    "library", "archive", "survey", "budget"};

static void make_text(struct qosid_buf *out, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		(void)qosid_buf_append_format(out, NULL, "%s%s", i > 0 ? " " : "", PICK(words));
}

/* The body of document n without its special members: about 1,000 bytes. */
static void make_body(struct qosid_buf *out, unsigned n)
{
	qosid_buf_reset(out);
	(void)qosid_buf_append_format(out, NULL,
	    "{\"type\":\"person\",\"generated\":true,\"name\":{\"family\":\"%s\",\"given\":\"%s\"},\"born\":%u,"
	    "\"residence\":{\"place\":\"%s\",\"since\":%u},\"origin\":\"%s\",\"contact\":{\"phone\":\"+992 %03u %03u "
	    "%04u\","
	    "\"email\":\"person%u@example.org\"},\"education\":%u,\"occupation\":\"%04u\",\"languages\":[\"tg\",\"ru\"%"
	    "s],\"skills\":[",
	    PICK(family), PICK(given), 1950 + random_below(55), PICK(places), 1995 + random_below(30), PICK(places),
	    random_below(1000), random_below(1000), random_below(10000), n, random_below(9), random_below(9700),
	    random_below(2) != 0 ? ",\"en\"" : "");
	for (unsigned i = 0, count = 3 + random_below(4); i < count; i++)
		(void)qosid_buf_append_format(out, NULL, "%s\"%s\"", i > 0 ? "," : "", PICK(words));
	(void)qosid_buf_append_text(out, "],\"consent\":{\"purpose\":\"contact about offers\",\"given\":\"2026-", NULL);
	(void)qosid_buf_append_format(out, NULL, "%02u-%02u\",\"expires\":\"2028-01-01\"},\"offers\":\"",
	    1 + random_below(12), 1 + random_below(28));
	make_text(out, 12 + random_below(10));
	(void)qosid_buf_append_text(out, "\",\"experience\":\"", NULL);
	make_text(out, 22 + random_below(14));
	(void)qosid_buf_append_text(out, "\",\"seeks\":\"", NULL);
	make_text(out, 8 + random_below(8));
	(void)qosid_buf_append_text(out, "\"}", NULL);
}

/* All documents, made beforehand so that making them is not measured. */
struct documents {
	struct qosid_buf text;
	size_t *offsets; /* count + 1 */
	unsigned count;
};

static struct documents make_documents(unsigned count)
{
	struct documents documents = {.offsets = calloc(count + 1, sizeof(size_t)), .count = count};
	struct qosid_buf body = {0};

	if (documents.offsets == NULL)
		fail("out of memory", NULL);
	for (unsigned n = 0; n < count; n++) {
		make_body(&body, n);
		if (qosid_buf_append(&documents.text, body.data, body.len, NULL) != 0)
			fail("out of memory", NULL);
		documents.offsets[n + 1] = documents.text.len;
	}
	qosid_buf_free(&body);
	return documents;
}

static struct json_slice document_at(const struct documents *documents, unsigned n)
{
	return (struct json_slice){(const char *)documents->text.data + documents->offsets[n],
	    documents->offsets[n + 1] - documents->offsets[n]};
}

/* ---- the stages ---- */

static double bench_plain(const char *dir, const struct documents *documents)
{
	char path[512], id[32];
	struct stopwatch begin;
	sqlite3_stmt *insert = NULL;
	sqlite3 *db = NULL;

	(void)snprintf(path, sizeof(path), "%s/plain.db", dir);
	if (sqlite3_open(path, &db) != SQLITE_OK ||
	    sqlite3_exec(db,
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id TEXT PRIMARY KEY, body TEXT)",
		NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?,?)", -1, &insert, NULL) != SQLITE_OK)
		fail("plain SQLite", NULL);
	begin = read_clock();
	for (unsigned n = 0; n < documents->count; n++) {
		struct json_slice body = document_at(documents, n);

		(void)snprintf(id, sizeof(id), "person:tj-%06u", n);
		if ((n % BATCH == 0 && sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK) ||
		    sqlite3_bind_text(insert, 1, id, -1, SQLITE_STATIC) != SQLITE_OK ||
		    sqlite3_bind_text(insert, 2, body.text, (int)body.len, SQLITE_STATIC) != SQLITE_OK ||
		    sqlite3_step(insert) != SQLITE_DONE || sqlite3_reset(insert) != SQLITE_OK ||
		    ((n % BATCH == BATCH - 1 || n == documents->count - 1) &&
			sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK))
			fail("plain SQLite insert", NULL);
	}
	(void)sqlite3_finalize(insert);
	(void)sqlite3_close(db);
	return since(begin).cpu;
}

static double bench_put(struct space *space, const struct documents *documents)
{
	struct replica *replica = space_replica(space);
	struct stopwatch begin = read_clock();
	struct qosid_errbuf err = {0};
	struct revision written;
	char id[32];

	for (unsigned n = 0; n < documents->count; n++) {
		struct replica_edit edit = {.id = id,
		    .body = document_at(documents, n),
		    .user = "registrar",
		    .time = 1764000000000 + n * 977LL};

		(void)snprintf(id, sizeof(id), "person:tj-%06u", n);
		if ((n % BATCH == 0 && replica_begin(replica, &err) != 0) ||
		    replica_put_edit(replica, &edit, &written, &err) != 0 ||
		    ((n % BATCH == BATCH - 1 || n == documents->count - 1) && replica_commit(replica, &err) != 0))
			fail("put", &err);
	}
	return since(begin).cpu;
}

static uint64_t folder_bytes;

static int add_size(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)path;
	(void)walk;
	if (type == FTW_F)
		folder_bytes += (uint64_t)status->st_size;
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static struct space *make_offices(const char *dir, const char *remote, struct space **second)
{
	struct roster_invitation invitation;
	struct qosid_errbuf err = {0};
	struct qosid_buf request = {0};
	struct roster_member member;
	char a[512], b[512];
	struct space *first;

	(void)snprintf(a, sizeof(a), "%s/dushanbe", dir);
	(void)snprintf(b, sizeof(b), "%s/khujand", dir);
	if (space_create(a, "dushanbe", NULL, &err) != 0 || space_open(&first, a, false, NULL, &err) != 0 ||
	    space_add_remote(first, "origin", remote, true, &err) != 0 || space_invite(first, &invitation, &err) != 0 ||
	    space_join(b, "khujand", &invitation, NULL, &request, &err) != 0 ||
	    request_parse(&member, space_id(first), (char *)request.data, request.len, &err) != 0 ||
	    space_admit(first, &member, ROLE_WRITER | ROLE_READER, false, NULL, &err) != 0 ||
	    space_open(second, b, false, NULL, &err) != 0)
		fail("making the offices", &err);
	qosid_buf_free(&request);
	return first;
}

static void bench_way(const char *dir, unsigned count)
{
	uint8_t ours[DIGEST_BYTES], theirs[DIGEST_BYTES];
	struct exchange_report sent, received;
	struct qosid_errbuf err = {0};
	struct space *first, *second;
	struct stopwatch begin, out, in;
	struct documents documents = make_documents(count);
	double bytes = (double)documents.text.len, plain, put;
	char remote[512];

	(void)snprintf(remote, sizeof(remote), "%s/remote.git", dir);
	first = make_offices(dir, remote, &second);
	plain = bench_plain(dir, &documents);
	put = bench_put(first, &documents);
	begin = read_clock();
	if (space_exchange(first, "origin", NULL, &sent, &err) != 0)
		fail("first exchange", &err);
	out = since(begin);
	begin = read_clock();
	if (space_exchange(second, "origin", NULL, &received, &err) != 0)
		fail("second exchange", &err);
	in = since(begin);
	if (replica_compute_digest(space_replica(first), ours, &err) != 0 ||
	    replica_compute_digest(space_replica(second), theirs, &err) != 0)
		fail("digest", &err);
	if (memcmp(ours, theirs, DIGEST_BYTES) != 0 || received.revisions_applied != count)
		fail("the replicas are not equal", NULL);
	folder_bytes = 0;
	(void)nftw(remote, add_size, 16, FTW_PHYS);

	(void)printf("documents                         %10u of %.0f bytes\n", count, bytes / count);
	(void)printf("plain SQLite insert               %10.0f documents/CPU-second\n", count / plain);
	(void)printf(
	    "put into the first replica        %10.0f documents/CPU-second  %.2f of plain\n", count / put, plain / put);
	(void)printf("publish and push                  %10.0f documents/CPU-second  %.2f of plain\n", count / out.cpu,
	    plain / out.cpu);
	(void)printf("fetch, verify and apply           %10.0f documents/CPU-second  %.2f of plain\n", count / in.cpu,
	    plain / in.cpu);
	(void)printf("the whole way                     %10.0f documents/CPU-second  %.2f of plain\n",
	    count / (out.cpu + in.cpu), plain / (out.cpu + in.cpu));
	(void)printf("the whole way, wall clock         %10.0f documents/second\n", count / (out.wall + in.wall));
	(void)printf("change sets                       %10zu, %.0f change sets/CPU-second\n", sent.sets_published,
	    (double)sent.sets_published / (out.cpu + in.cpu));
	(void)printf("bytes in git                      %10.1f a document\n", (double)folder_bytes / count);
	space_close(first);
	space_close(second);
	free(documents.offsets);
	qosid_buf_free(&documents.text);
}

/* Many lone changes: one document a change set, as an office at work makes them. */
static void bench_lone(const char *dir, unsigned count)
{
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	struct space *first, *second;
	struct qosid_buf body = {0};
	struct stopwatch begin, taken;
	char remote[512], id[32];
	struct revision written;
	size_t sets = 0;

	(void)snprintf(remote, sizeof(remote), "%s/remote.git", dir);
	first = make_offices(dir, remote, &second);
	begin = read_clock();
	for (unsigned n = 0; n < count; n++) {
		struct replica_edit edit = {.id = id, .user = "registrar", .time = 1764000000000 + n};

		make_body(&body, n);
		(void)snprintf(id, sizeof(id), "person:tj-%06u", n);
		edit.body = (struct json_slice){(char *)body.data, body.len};
		if (replica_begin(space_replica(first), &err) != 0 ||
		    replica_put_edit(space_replica(first), &edit, &written, &err) != 0 ||
		    replica_commit(space_replica(first), &err) != 0 || space_publish(first, NULL, &report, &err) != 0)
			fail("publish", &err);
		sets += report.sets_published;
	}
	if (space_exchange(first, "origin", NULL, &report, &err) != 0 ||
	    space_exchange(second, "origin", NULL, &report, &err) != 0)
		fail("exchange", &err);
	taken = since(begin);
	if (sets != count || report.sets_applied != count)
		fail("not every change became a change set", NULL);
	(void)printf("change sets of one document       %10.0f change sets/CPU-second, %.0f/second, put to applied\n",
	    count / taken.cpu, count / taken.wall);
	qosid_buf_free(&body);
	space_close(first);
	space_close(second);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
	unsigned lone_count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 300;
	const char *tmp = getenv("TMPDIR");
	char dir[256], way[300], lone[300];

	if (count == 0 || sodium_init() < 0 || git_libgit2_init() < 0)
		fail("cannot start", NULL);
	(void)snprintf(dir, sizeof(dir), "%s/qosid-bench-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		fail("cannot make a folder", NULL);
	(void)snprintf(way, sizeof(way), "%s/way", dir);
	(void)snprintf(lone, sizeof(lone), "%s/lone", dir);
	if (mkdir(way, 0700) != 0 || mkdir(lone, 0700) != 0)
		fail("cannot make a folder", NULL);
	bench_way(way, count);
	if (lone_count > 0)
		bench_lone(lone, lone_count);
	(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	(void)git_libgit2_shutdown();
	return 0;
}
