/*
 * From replica to replica: what one office collects, others apply, and all end up equal, whatever the order and however
 * often; what fails leaves nothing behind.
 */
#include "codec_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sink.h"
#include "sync/limits.h"

#define SETS_MAX 64

/* An office with its replica and the change sets of its log. */
struct office {
	const char *name;
	struct replica *replica;
	struct changeset_batch sets[SETS_MAX];
	int set_count;
};

static char dir[64];
static struct age_key *key;
static struct office a, b, c;

static void office_open(struct office *office, const char *name)
{
	char path[128];

	*office = (struct office){.name = name};
	(void)snprintf(path, sizeof(path), "%s/%s.db", dir, name);
	assert_done(replica_open(&office->replica, path, REPLICA_CREATE, E));
}

static void office_close(struct office *office)
{
	replica_close(office->replica);
	for (int i = 0; i < office->set_count; i++)
		changeset_batch_free(&office->sets[i]);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/qosid-apply-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_done(age_key_create(&key, E));
	office_open(&a, "dushanbe");
	office_open(&b, "khujand");
	office_open(&c, "london");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	office_close(&a);
	office_close(&b);
	office_close(&c);
	age_key_free(key);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* ---- what offices do ---- */

/* Edit the winner, or make the document; in the caller's transaction. attachments may be NULL. */
static void edit(struct office *office, const char *id, const char *body, const char *attachments, bool deleted)
{
	struct replica_edit change = {.id = id,
	    .deleted = deleted,
	    .body = {body, strlen(body)},
	    .attachments = {attachments, attachments == NULL ? 0 : strlen(attachments)},
	    .user = office->name,
	    .time = TIME};
	struct replica_record record = {0};
	struct revision written, parent;

	if (replica_read_document(office->replica, id, NULL, &record, NULL) == 0) {
		parent = record.rev;
		change.parent = &parent;
	}
	assert_done(replica_put_edit(office->replica, &change, &written, E));
	replica_record_free(&record);
}

static void edit_alone(struct office *office, const char *id, const char *body, const char *attachments, bool deleted)
{
	assert_done(replica_begin(office->replica, E));
	edit(office, id, body, attachments, deleted);
	assert_done(replica_commit(office->replica, E));
}

static struct changeset_header header_of(const struct office *office, int set)
{
	return (struct changeset_header){.space = SPACE, .office = office->name, .sequence = set + 1};
}

static const struct changeset_batch *collect(struct office *office)
{
	struct changeset_batch *batch = &office->sets[office->set_count];
	struct changeset_header header = header_of(office, office->set_count);

	assert_true(office->set_count < SETS_MAX);
	assert_done(changeset_collect(office->replica, &header, age_key_recipient(key), NULL, batch, E));
	if (batch->revisions > 0)
		office->set_count++;
	return batch;
}

static void mark(struct office *office, const struct changeset_batch *batch)
{
	assert_done(replica_begin(office->replica, E));
	assert_done(changeset_mark_published(office->replica, batch, E));
	assert_done(replica_commit(office->replica, E));
}

static const struct changeset_batch *publish(struct office *office)
{
	const struct changeset_batch *batch = collect(office);

	if (batch->revisions > 0)
		mark(office, batch);
	return batch;
}

static struct changeset_counts deliver(const struct office *from, int set, struct office *to, bool own)
{
	const struct qosid_buf *payload = &from->sets[set].payload;
	struct changeset_header header = header_of(from, set);
	struct changeset_counts counts = {99, 99, 99};

	assert_done(replica_begin(to->replica, E));
	assert_done(changeset_apply(to->replica, payload->data, payload->len, &header,
	    &(struct changeset_opening){.key = key}, own, &counts, E));
	assert_done(replica_commit(to->replica, E));
	return counts;
}

static void deliver_all(const struct office *from, struct office *to)
{
	for (int i = 0; i < from->set_count; i++)
		(void)deliver(from, i, to, false);
}

static void assert_equal_replicas(struct office *one, struct office *other)
{
	uint8_t first[DIGEST_BYTES], second[DIGEST_BYTES];

	assert_done(replica_compute_digest(one->replica, first, E));
	assert_done(replica_compute_digest(other->replica, second, E));
	assert_memory_equal(first, second, DIGEST_BYTES);
}

static struct replica_info info_of(struct office *office)
{
	struct replica_info info;

	assert_done(replica_read_info(office->replica, &info, E));
	return info;
}

static void assert_body(struct office *office, const char *id, const char *body)
{
	struct replica_record record = {0};

	assert_done(replica_read_document(office->replica, id, NULL, &record, E));
	assert_string_equal((char *)record.body.data, body);
	replica_record_free(&record);
}

static void open_set(const struct office *office, int set, struct qosid_buf *text)
{
	qosid_buf_reset(text);
	open_payload(text, &office->sets[set].payload, key);
}

static int count_text(const struct qosid_buf *text, const char *wanted)
{
	int count = 0;

	for (const char *at = (const char *)text->data; (at = strstr(at, wanted)) != NULL; at++)
		count++;
	return count;
}

/* ---- tests ---- */

static void test_nothing_pending(void **state)
{
	(void)state;
	const struct changeset_batch *batch = collect(&a);

	assert_int_equal(batch->revisions, 0);
	assert_int_equal(batch->documents, 0);
	assert_int_equal(batch->payload.len, 0);
}

/* Every revision is published, with its body and its ancestry, parents first. */
static void test_history(void **state)
{
	(void)state;
	const struct changeset_batch *batch;
	struct changeset_counts counts;
	struct qosid_buf text = {0};

	assert_done(replica_begin(a.replica, E));
	edit(&a, "tree", "{\"n\":1.0}", NULL, false);
	edit(&a, "rock", "{}", NULL, false);
	edit(&a, "tree", "{\"n\":-0.0}", NULL, false);
	edit(&a, "tree", "{\"n\":123456789012345678901234567890}", NULL, false);
	edit(&a, "rock", "{\"why\":\"gone\"}", NULL, true);
	assert_done(replica_commit(a.replica, E));
	batch = publish(&a);
	assert_int_equal(batch->revisions, 5);
	assert_int_equal(batch->documents, 2);
	assert_int_equal(info_of(&a).pending, 0);
	assert_int_equal(collect(&a)->revisions, 0);

	open_set(&a, 0, &text);
	assert_int_equal(count_text(&text, "\n"), 6);
	assert_int_equal(count_text(&text, "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"dushanbe\",\"doc\":"), 5);
	assert_int_equal(count_text(&text, "\"_revisions\":{\"start\":1,\"ids\":[\""), 2);
	assert_int_equal(count_text(&text, "\"_revisions\":{\"start\":3,\"ids\":[\""), 1);
	assert_int_equal(count_text(&text, "\"_deleted\":true"), 1);
	assert_true(strstr((char *)text.data, "\"n\":1.0}") < strstr((char *)text.data, "\"n\":-0.0}"));
	assert_true(strstr((char *)text.data, "\"n\":-0.0}") < strstr((char *)text.data, "\"n\":123456789012"));

	counts = deliver(&a, 0, &b, false);
	assert_int_equal(counts.revisions, 5);
	assert_int_equal(counts.news, 5);
	assert_int_equal(counts.conflicts, 0);
	assert_body(&b, "tree", "{\"n\":123456789012345678901234567890}");
	assert_equal_replicas(&a, &b);
	assert_int_equal(info_of(&b).pending, 0);
	assert_int_equal(info_of(&b).documents, 1);
	assert_int_equal(info_of(&b).deleted, 1);
	qosid_buf_free(&text);
}

static void test_repeated(void **state)
{
	(void)state;
	struct changeset_counts counts;

	edit_alone(&a, "x", "{\"v\":1}", NULL, false);
	edit_alone(&a, "x", "{\"v\":2}", NULL, false);
	(void)publish(&a);
	for (int i = 0; i < 3; i++) {
		counts = deliver(&a, 0, &b, false);
		assert_int_equal(counts.revisions, 2);
		assert_int_equal(counts.news, i == 0 ? 2 : 0);
		assert_int_equal(counts.conflicts, 0);
	}
	assert_int_equal(deliver(&a, 0, &a, true).news, 0);
	assert_equal_replicas(&a, &b);
}

static void test_conflict(void **state)
{
	(void)state;
	struct changeset_counts counts;

	edit_alone(&a, "x", "{\"by\":\"a\"}", NULL, false);
	edit_alone(&b, "x", "{\"by\":\"b\"}", NULL, false);
	edit_alone(&b, "y", "{\"by\":\"b\"}", NULL, false);
	(void)publish(&a);
	(void)publish(&b);
	counts = deliver(&a, 0, &b, false);
	assert_int_equal(counts.news, 1);
	assert_int_equal(counts.conflicts, 1);
	counts = deliver(&b, 0, &a, false);
	assert_int_equal(counts.news, 2);
	assert_int_equal(counts.conflicts, 1);
	assert_int_equal(deliver(&b, 0, &a, false).conflicts, 0);
	assert_equal_replicas(&a, &b);
	assert_int_equal(info_of(&a).conflicts, 1);
	assert_int_equal(info_of(&b).conflicts, 1);

	/* the same edit in two offices is one revision, and no conflict */
	edit_alone(&a, "z", "{\"same\":true}", NULL, false);
	edit_alone(&b, "z", "{\"same\":true}", NULL, false);
	(void)publish(&a);
	(void)publish(&b);
	counts = deliver(&a, 1, &b, false);
	assert_int_equal(counts.news, 0);
	assert_int_equal(counts.conflicts, 0);
	(void)deliver(&b, 1, &a, false);
	assert_equal_replicas(&a, &b);

	/* a tombstone beside a live leaf is none either */
	edit_alone(&a, "y", "{}", NULL, true);
	edit_alone(&b, "y", "{\"by\":\"b again\"}", NULL, false);
	(void)publish(&a);
	(void)publish(&b);
	assert_int_equal(deliver(&a, 2, &b, false).conflicts, 0);
	assert_int_equal(deliver(&b, 2, &a, false).conflicts, 0);
	assert_equal_replicas(&a, &b);
	assert_body(&a, "y", "{\"by\":\"b again\"}");
}

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

static void edit_at_random(struct office *office)
{
	char id[32], body[64];

	assert_done(replica_begin(office->replica, E));
	for (uint32_t i = random_below(8); i > 0; i--) {
		(void)snprintf(id, sizeof(id), "doc-%u", random_below(10));
		(void)snprintf(body, sizeof(body), "{\"by\":\"%s\",\"n\":%u}", office->name, random_below(1000));
		edit(office, id, body, NULL, random_below(3) == 0);
	}
	assert_done(replica_commit(office->replica, E));
}

/* Every set of every log, in a random order, some twice. */
static void deliver_shuffled(struct office *to)
{
	const struct office *logs[3 * SETS_MAX];
	int sets[3 * SETS_MAX], count = 0;

	const struct office *const all[] = {&a, &b, &c};
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < all[i]->set_count; j++) {
			logs[count] = all[i];
			sets[count++] = j;
		}
	}
	while (count > 0) {
		int pick = (int)random_below((uint32_t)count);

		(void)deliver(logs[pick], sets[pick], to, logs[pick] == to);
		if (random_below(4) == 0)
			continue;
		count--;
		logs[pick] = logs[count];
		sets[pick] = sets[count];
	}
}

/* Offices edit apart and exchange a bit now and then; in the end all logs reach all, in any order. */
static void test_converge(void **state)
{
	(void)state;
	struct office *const all[] = {&a, &b, &c};

	random_state = 20261125;
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < 3; i++) {
			struct office *from = all[random_below(3)];

			edit_at_random(all[i]);
			(void)publish(all[i]);
			if (from != all[i] && from->set_count > 0)
				(void)deliver(from, from->set_count - 1, all[i], false);
		}
	}
	for (int i = 0; i < 3; i++)
		deliver_shuffled(all[i]);
	assert_equal_replicas(&a, &b);
	assert_equal_replicas(&b, &c);
	assert_true(info_of(&a).conflicts > 0);
	assert_true(info_of(&a).deleted > 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(info_of(all[i]).pending, 0);

	/* a newcomer with another order still */
	struct office d;
	office_open(&d, "almaty");
	deliver_shuffled(&d);
	assert_equal_replicas(&a, &d);
	office_close(&d);
}

/* While another log is missing, its revisions are ancestors, not conflicts. */
static void test_late_log(void **state)
{
	(void)state;
	edit_alone(&a, "x", "{\"v\":1}", NULL, false);
	edit_alone(&a, "x", "{\"v\":2}", NULL, false);
	(void)publish(&a);
	(void)deliver(&a, 0, &c, false);
	(void)deliver(&a, 0, &b, false);
	for (int i = 3; i < 8; i++) {
		char body[32];
		(void)snprintf(body, sizeof(body), "{\"v\":%d}", i);
		edit_alone(&a, "x", body, NULL, false);
	}
	(void)publish(&a);
	(void)deliver(&a, 1, &b, false);
	edit_alone(&b, "x", "{\"v\":9}", NULL, false);
	(void)publish(&b);
	assert_int_equal(deliver(&b, 0, &c, false).conflicts, 0);
	assert_int_equal(info_of(&c).conflicts, 0);
	assert_body(&c, "x", "{\"v\":9}");
	assert_int_equal(deliver(&a, 1, &c, false).news, 0);
	assert_equal_replicas(&b, &c);
}

/* Longer than any replica keeps. */
static void test_long_history(void **state)
{
	(void)state;
	char body[32];

	for (int i = 0; i < 5; i++) {
		assert_done(replica_begin(a.replica, E));
		for (int j = 0; j < 250; j++) {
			(void)snprintf(body, sizeof(body), "{\"v\":%d}", i * 250 + j);
			edit(&a, "x", body, NULL, false);
		}
		assert_done(replica_commit(a.replica, E));
		if (i == 0 || i == 3)
			continue;
		while (publish(&a)->revisions > 0)
			;
	}
	deliver_all(&a, &b);
	assert_body(&b, "x", "{\"v\":1249}");
	assert_equal_replicas(&a, &b);
	assert_int_equal(info_of(&b).conflicts, 0);
	for (int i = a.set_count - 1; i >= 0; i--)
		(void)deliver(&a, i, &c, false);
	assert_equal_replicas(&a, &c);
	assert_int_equal(info_of(&c).conflicts, 0);
}

/* ---- attachments ---- */

/* JSON for one attachment of len bytes of this letter. */
static void append_attachment(struct qosid_buf *out, const char *name, char letter, size_t len)
{
	size_t room = (len + 2) / 3 * 4;

	assert_int_equal(len % 3, 0);
	assert_done(qosid_buf_append_format(
	    out, E, "%c\"%s\":{\"content_type\":\"text/plain\",\"data\":\"", out->len == 0 ? '{' : ',', name));
	assert_done(qosid_buf_reserve(out, room, E));
	/* three times the same letter is four characters of base64 */
	char quad[5];
	unsigned bits = (unsigned)letter << 16 | (unsigned)letter << 8 | (unsigned)letter;
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (int i = 0; i < 4; i++)
		quad[i] = alphabet[bits >> (18 - 6 * i) & 63];
	for (size_t i = 0; i < len / 3; i++)
		assert_done(qosid_buf_append(out, quad, 4, E));
	assert_done(qosid_buf_append_text(out, "\"}", E));
}

/* The digest of attachment number index of the document's winner. */
static void attachment_digest(struct office *office, const char *id, int index, uint8_t digest[DIGEST_BYTES])
{
	struct replica_record record = {0};
	struct json_slice name, value, text;
	size_t position = 0;

	assert_done(replica_read_document(office->replica, id, NULL, &record, E));
	struct json_slice all = {(char *)record.attachments.data, record.attachments.len};
	for (int i = 0; i <= index; i++)
		assert_true(json_next(all, &position, &name, &value));
	assert_true(json_find(value, "digest", &text));
	assert_done(digest_parse(digest, text.text + 1, text.len - 2, E));
	replica_record_free(&record);
}

static bool is_here(struct office *office, const uint8_t digest[DIGEST_BYTES])
{
	bool found;

	assert_done(attachment_find(office->replica, digest, &found, NULL, E));
	return found;
}

static bool is_published(struct office *office, const uint8_t digest[DIGEST_BYTES])
{
	bool published;

	assert_done(attachment_is_published(office->replica, digest, &published, E));
	return published;
}

static void test_small_attachment(void **state)
{
	(void)state;
	static const char stub[] = "{\"note\":{\"stub\":true}}";
	struct qosid_buf attachments = {0}, text = {0}, content = {0};
	struct qosid_buf_sink target = {&content, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	const struct changeset_batch *batch;
	uint8_t digest[DIGEST_BYTES];

	append_attachment(&attachments, "note", 'q', 3000);
	assert_done(qosid_buf_append_byte(&attachments, '}', E));
	assert_done(replica_begin(a.replica, E));
	edit(&a, "x", "{}", (char *)attachments.data, false);
	edit(&a, "twin", "{}", (char *)attachments.data, false);
	assert_done(replica_commit(a.replica, E));
	batch = publish(&a);
	assert_int_equal(batch->revisions, 2);
	assert_int_equal(batch->inlined_count, 1);
	assert_int_equal(batch->file_count, 0);
	open_set(&a, 0, &text);
	assert_int_equal(count_text(&text, "\"data\":\"cXFx"), 1);
	assert_int_equal(count_text(&text, "\"stub\":true"), 1);
	assert_int_equal(count_text(&text, "\"content_type\":\"text/plain\""), 2);
	attachment_digest(&a, "x", 0, digest);
	assert_memory_equal(batch->inlined[0], digest, DIGEST_BYTES);
	assert_true(is_published(&a, digest));

	(void)deliver(&a, 0, &b, false);
	assert_true(is_here(&b, digest));
	assert_false(is_published(&b, digest));
	assert_done(attachment_read(b.replica, digest, 0, -1, &sink, E));
	assert_int_equal(content.len, 3000);
	assert_int_equal(content.data[2999], 'q');
	assert_equal_replicas(&a, &b);

	/* kept by an edit: this log has carried it, the other office's log has not */
	edit_alone(&a, "x", "{\"v\":2}", stub, false);
	assert_int_equal(publish(&a)->inlined_count, 0);
	open_set(&a, 1, &text);
	assert_int_equal(count_text(&text, "\"data\""), 0);
	assert_int_equal(count_text(&text, "\"stub\":true"), 1);
	(void)deliver(&a, 1, &b, false);
	edit_alone(&b, "x", "{\"v\":3}", stub, false);
	assert_int_equal(publish(&b)->inlined_count, 1);
	(void)deliver(&b, 0, &a, false);
	assert_equal_replicas(&a, &b);
	qosid_buf_free(&attachments);
	qosid_buf_free(&content);
	qosid_buf_free(&text);
}

static void test_large_attachment(void **state)
{
	(void)state;
	const size_t large = LIMIT_ATTACHMENT_INLINE_BYTES / 3 * 3 + 3;
	struct qosid_buf attachments = {0}, text = {0};
	const struct changeset_batch *batch;
	uint8_t digest[DIGEST_BYTES];

	append_attachment(&attachments, "film", 'f', large);
	append_attachment(&attachments, "note", 'n', large - 3);
	assert_done(qosid_buf_append_byte(&attachments, '}', E));
	edit_alone(&a, "x", "{}", (char *)attachments.data, false);
	edit_alone(&a, "x", "{\"v\":2}", "{\"film\":{\"stub\":true},\"note\":{\"stub\":true}}", false);
	batch = publish(&a);
	assert_int_equal(batch->inlined_count, 1);
	assert_int_equal(batch->file_count, 1);
	attachment_digest(&a, "x", 0, digest);
	assert_memory_equal(batch->files[0], digest, DIGEST_BYTES);
	assert_true(is_published(&a, digest));
	open_set(&a, 0, &text);
	assert_int_equal(count_text(&text, "\"data\""), 1);
	assert_int_equal(count_text(&text, "\"stub\":true"), 1);
	/* that line alone was more than a change set's target */
	batch = publish(&a);
	assert_int_equal(batch->revisions, 1);
	assert_int_equal(batch->inlined_count, 0);
	assert_int_equal(batch->file_count, 0);
	open_set(&a, 1, &text);
	assert_int_equal(count_text(&text, "\"data\""), 0);
	assert_int_equal(count_text(&text, "\"stub\":true"), 2);

	deliver_all(&a, &b);
	assert_false(is_here(&b, digest));
	assert_equal_replicas(&a, &b);
	/* an office that does not have the content cannot carry it */
	edit_alone(&b, "x", "{\"v\":3}", "{\"film\":{\"stub\":true}}", false);
	batch = publish(&b);
	assert_int_equal(batch->file_count, 0);
	assert_int_equal(batch->inlined_count, 0);
	(void)deliver(&b, 0, &a, false);
	assert_equal_replicas(&a, &b);
	qosid_buf_free(&attachments);
	qosid_buf_free(&text);
}

/* Many small ones would make a line too long: the rest travels as files. */
static void test_many_attachments(void **state)
{
	(void)state;
	struct qosid_buf attachments = {0};
	const struct changeset_batch *batch;

	for (char letter = 'a'; letter <= 'e'; letter++)
		append_attachment(&attachments, (char[]){letter, '\0'}, letter, 2400000);
	assert_done(qosid_buf_append_byte(&attachments, '}', E));
	edit_alone(&a, "x", "{}", (char *)attachments.data, false);
	batch = publish(&a);
	assert_int_equal(batch->inlined_count, 2);
	assert_int_equal(batch->file_count, 3);
	(void)deliver(&a, 0, &b, false);
	assert_equal_replicas(&a, &b);
	qosid_buf_free(&attachments);
}

static void test_false_digest(void **state)
{
	(void)state;
	struct changeset_counts counts;
	struct changeset_header header = header_of(&a, 0);
	struct qosid_buf payload = {0};

	build_payload(&payload,
	    "{\"qosid\":\"change set\",\"format\":1,\"space\":\"" SPACE "\",\"office\":\"dushanbe\",\"sequence\":1}\n"
	    "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"\",\"doc\":{\"_id\":\"x\",\"_rev\":\"1-a\",\"_"
	    "revisions\":"
	    "{\"start\":1,\"ids\":[\"a\"]},\"_attachments\":{\"n\":{\"content_type\":\"text/plain\",\"digest\":"
	    "\"blake2b-256:0000000000000000000000000000000000000000000000000000000000000000\",\"length\":3,\"revpos\":"
	    "1,"
	    "\"data\":\"cXFx\"}}}}\n",
	    key);
	assert_done(replica_begin(b.replica, E));
	assert_refused(QOSID_ERR_INVALID, "line 2", "",
	    changeset_apply(b.replica, payload.data, payload.len, &header, &(struct changeset_opening){.key = key},
		false, &counts, E));
	replica_rollback(b.replica);
	assert_int_equal(info_of(&b).documents, 0);
	qosid_buf_free(&payload);
}

/* ---- sizes and failures ---- */

static void test_target(void **state)
{
	(void)state;
	const size_t documents = 60, size = 200000;
	char *body = malloc(size + 64), id[32];
	size_t collected = 0;

	assert_non_null(body);
	assert_done(replica_begin(a.replica, E));
	for (size_t i = 0; i < documents; i++) {
		(void)snprintf(id, sizeof(id), "doc-%zu", i);
		(void)sprintf(body, "{\"n\":%zu,\"x\":\"%0*d\"}", i, (int)size, 0);
		edit(&a, id, body, NULL, false);
	}
	assert_done(replica_commit(a.replica, E));
	for (;;) {
		const struct changeset_batch *batch = publish(&a);
		if (batch->revisions == 0)
			break;
		assert_int_equal(batch->documents, batch->revisions);
		assert_true(batch->revisions * size < LIMIT_CHANGESET_TARGET_BYTES + 2 * size);
		collected += batch->revisions;
	}
	assert_int_equal(collected, documents);
	assert_int_equal(a.set_count, 3);
	deliver_all(&a, &b);
	assert_equal_replicas(&a, &b);
	free(body);
}

static void test_interrupted(void **state)
{
	(void)state;
	struct changeset_header header = header_of(&a, 0);
	struct changeset_counts counts = {7, 7, 7};
	struct qosid_buf *payload, whole = {0};
	struct qosid_buf text = {0};
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	char id[32];

	edit_alone(&b, "old", "{}", NULL, false);
	assert_done(replica_compute_digest(b.replica, before, E));
	assert_done(replica_begin(a.replica, E));
	for (int i = 0; i < 500; i++) {
		(void)snprintf(id, sizeof(id), "doc-%d", i);
		edit(&a, id, "{\"some\":\"text\"}", NULL, false);
	}
	assert_done(replica_commit(a.replica, E));
	(void)publish(&a);
	payload = &a.sets[0].payload;

	/* bytes missing at the end */
	assert_done(replica_begin(b.replica, E));
	assert_int_not_equal(changeset_apply(b.replica, payload->data, payload->len - 20, &header,
				 &(struct changeset_opening){.key = key}, false, &counts, NULL),
	    0);
	replica_rollback(b.replica);
	/* the last line is wrong: 500 lines have been written already */
	open_set(&a, 0, &text);
	assert_done(qosid_buf_append_text(&text, "{\"time\":\"\n", E));
	build_payload(&whole, (char *)text.data, key);
	assert_done(replica_begin(b.replica, E));
	assert_refused(QOSID_ERR_INVALID, "line 502", "",
	    changeset_apply(
		b.replica, whole.data, whole.len, &header, &(struct changeset_opening){.key = key}, false, &counts, E));
	assert_int_equal(info_of(&b).documents, 501);
	replica_rollback(b.replica);
	assert_int_equal(counts.news, 7);
	assert_int_equal(info_of(&b).documents, 1);
	assert_done(replica_compute_digest(b.replica, after, E));
	assert_memory_equal(before, after, DIGEST_BYTES);

	(void)deliver(&a, 0, &b, false);
	assert_int_equal(info_of(&b).documents, 501);
	qosid_buf_free(&whole);
	qosid_buf_free(&text);
}

/* The change set is in git, but the marks were not written: the own log is applied again. */
static void test_own_recovery(void **state)
{
	(void)state;
	struct qosid_buf attachments = {0};
	uint8_t digest[DIGEST_BYTES];
	struct office restored;

	append_attachment(&attachments, "note", 'q', 300);
	assert_done(qosid_buf_append_byte(&attachments, '}', E));
	edit_alone(&a, "x", "{}", (char *)attachments.data, false);
	edit_alone(&a, "x", "{\"v\":2}", NULL, false);
	edit_alone(&a, "y", "{}", NULL, false);
	(void)collect(&a); /* and no mark() */
	edit_alone(&a, "z", "{}", NULL, false);
	edit_alone(&a, "y", "{\"v\":2}", NULL, false);
	assert_int_equal(info_of(&a).pending, 5);
	assert_int_equal(deliver(&a, 0, &a, true).news, 0);
	assert_int_equal(info_of(&a).pending, 2);
	assert_int_equal(publish(&a)->revisions, 2);
	(void)deliver(&a, 0, &b, false);
	(void)deliver(&a, 1, &b, false);
	assert_equal_replicas(&a, &b);

	/* the replica is lost, the log is not */
	office_open(&restored, "restored");
	for (int i = 0; i < a.set_count; i++)
		(void)deliver(&a, i, &restored, true);
	assert_equal_replicas(&a, &restored);
	assert_int_equal(info_of(&restored).pending, 0);
	memcpy(digest, a.sets[0].inlined[0], DIGEST_BYTES);
	assert_true(is_published(&a, digest));
	assert_true(is_published(&restored, digest));
	assert_false(is_published(&b, digest));
	office_close(&restored);
	qosid_buf_free(&attachments);
}

/* What has been collected is marked by revision, so edits made meanwhile stay pending. */
static void test_edit_meanwhile(void **state)
{
	(void)state;
	const struct changeset_batch *batch;

	edit_alone(&a, "x", "{\"v\":1}", NULL, false);
	batch = collect(&a);
	edit_alone(&a, "x", "{\"v\":2}", NULL, false);
	mark(&a, batch);
	assert_int_equal(info_of(&a).pending, 1);
	assert_int_equal(publish(&a)->revisions, 1);
	deliver_all(&a, &b);
	assert_equal_replicas(&a, &b);
	assert_body(&b, "x", "{\"v\":2}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing_pending),
	    TEST(test_history),
	    TEST(test_repeated),
	    TEST(test_conflict),
	    TEST(test_converge),
	    TEST(test_late_log),
	    TEST(test_long_history),
	    TEST(test_small_attachment),
	    TEST(test_large_attachment),
	    TEST(test_many_attachments),
	    TEST(test_false_digest),
	    TEST(test_target),
	    TEST(test_interrupted),
	    TEST(test_own_recovery),
	    TEST(test_edit_meanwhile),
	};
	return cmocka_run_group_tests_name("collect and apply", tests, NULL, NULL);
}
