/*
 * Dictionaries and padding: what they save and hide, that stock zstd reads the result, and that nothing but the one
 * form is taken.
 */
#include "codec_tools.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/changeset/codec.h"
#include "sync/limits.h"

static const struct changeset_header header = {.space = SPACE, .office = "khujand", .sequence = 7};
static struct age_key *key;
static char dir[] = "/tmp/qosid-dictionary-XXXXXX";
static struct replica *replica;
static uint32_t state_of_random = 1;

static uint32_t draw(uint32_t below)
{
	state_of_random = state_of_random * 1664525u + 1013904223u;
	return (state_of_random >> 8) % below;
}

/* A person as registers have them: much the same in all, and something of their own. */
static void make_person(char *out, size_t size)
{
	static const char *const places[] = {"Khorog", "Khujand", "Kulob", "Bokhtar", "Dushanbe", "Isfara"};
	static const char *const skills[] = {"welding", "nursing", "teaching", "accounting", "programming", "cooking"};

	(void)snprintf(out, size,
	    "{\"type\":\"person\",\"name\":{\"tg\":\"%08x %08x\"},\"born\":%u,\"origin\":{\"district\":\"%s\"},"
	    "\"skills\":[{\"skill\":\"%s\",\"years\":%u}],\"consent\":{\"purpose\":\"matching skills with projects\","
	    "\"given\":\"2026-%02u-%02u\"},\"contact\":{\"phone\":\"+992%09u\"}}",
	    draw(1u << 20), draw(1u << 20), 1950 + draw(50), places[draw(6)], skills[draw(6)], draw(30), 1 + draw(12),
	    1 + draw(28), draw(1000000000));
}

static void fill(int from, int to)
{
	char id[32], body[512];
	struct revision written;

	assert_done(replica_begin(replica, E));
	for (int i = from; i < to; i++) {
		struct replica_edit edit = {.id = id, .user = "rano", .time = TIME};

		(void)snprintf(id, sizeof(id), "person:%06d", i);
		make_person(body, sizeof(body));
		edit.body = (struct json_slice){body, strlen(body)};
		assert_done(replica_put_edit(replica, &edit, &written, E));
	}
	assert_done(replica_commit(replica, E));
}

static int set_up(void **state)
{
	char path[64];

	(void)state;
	assert_done(age_key_create(&key, E));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/replica.db", dir);
	assert_done(replica_open(&replica, path, REPLICA_CREATE, E));
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	replica_close(replica);
	age_key_free(key);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* A change set of count lines. */
static void encode(struct qosid_buf *out, const struct changeset_packing *packing, int count)
{
	struct changeset_encoder *encoder;
	char body[512], doc[700];

	qosid_buf_reset(out);
	state_of_random = 99;
	assert_done(changeset_encoder_open(&encoder, &header, age_key_recipient(key), packing, out, E));
	for (int i = 0; i < count; i++) {
		make_person(body, sizeof(body));
		(void)snprintf(doc, sizeof(doc),
		    "{\"_id\":\"person:%06d\",\"_rev\":\"1-ab\",\"_revisions\":{\"start\":1,\"ids\":[\"ab\"]},%s", i,
		    body + 1);
		assert_done(changeset_encoder_add(encoder, TIME, "rano", doc, strlen(doc), E));
	}
	assert_done(changeset_encoder_finish(encoder, E));
	changeset_encoder_free(encoder);
}

static int count_line(void *context, const struct changeset_line *line, struct qosid_errbuf *err)
{
	(void)line;
	(void)err;
	++*(int *)context;
	return 0;
}

static int decode(const struct qosid_buf *payload, const struct changeset_dictionary *dictionary, int *lines,
    struct qosid_errbuf *err)
{
	struct changeset_opening opening = {key, dictionary};

	*lines = 0;
	return changeset_decode(payload->data, payload->len, &header, &opening, count_line, lines, err);
}

static void test_training(void **state)
{
	struct changeset_dictionary *dictionary, *other;
	struct qosid_buf with = {0}, without = {0};
	struct changeset_gain gain;
	const void *data;
	size_t len;
	int lines;

	(void)state;
	fill(0, 100);
	assert_done(changeset_dictionary_train(replica, NULL, &dictionary, &gain, E));
	assert_null(dictionary); /* a hundred records would only be learned by heart */
	fill(100, 1500);
	assert_done(changeset_dictionary_train(replica, NULL, &dictionary, &gain, E));
	assert_non_null(dictionary);
	assert_true(gain.samples >= 100 && gain.with * 2 < gain.without);

	encode(&with, &(struct changeset_packing){.dictionary = dictionary}, 1);
	encode(&without, NULL, 1);
	assert_true(with.len + 100 < without.len);
	assert_done(decode(&with, dictionary, &lines, E));
	assert_int_equal(lines, 1);
	assert_refused(QOSID_ERR_INVALID, "", "another dictionary", decode(&with, NULL, &lines, E));

	/* Taken from its own bytes it is the same. */
	data = changeset_dictionary_data(dictionary, &len);
	assert_true(len <= LIMIT_DICTIONARY_BYTES);
	assert_done(changeset_dictionary_load(&other, data, len, E));
	assert_memory_equal(changeset_dictionary_digest(other), changeset_dictionary_digest(dictionary), DIGEST_BYTES);
	assert_done(decode(&with, other, &lines, E));
	changeset_dictionary_free(other);

	/* One of other records is another one. */
	fill(1500, 4000);
	assert_done(changeset_dictionary_train(replica, NULL, &other, &gain, E));
	assert_non_null(other);
	assert_refused(QOSID_ERR_INVALID, "", "another dictionary", decode(&with, other, &lines, E));
	changeset_dictionary_free(other);
	changeset_dictionary_free(dictionary);
	changeset_dictionary_free(NULL);
	qosid_buf_free(&with);
	qosid_buf_free(&without);
}

static void write_file(const char *name, const void *data, size_t len)
{
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(close(fd), 0);
}

static void test_stock_tools(void **state)
{
	struct changeset_dictionary *dictionary;
	struct qosid_buf payload = {0}, secret = {0};
	struct changeset_gain gain;
	char command[256];
	const void *data;
	size_t len;

	(void)state;
	assert_done(changeset_dictionary_train(replica, NULL, &dictionary, &gain, E));
	encode(&payload, &(struct changeset_packing){.dictionary = dictionary, .pad = true}, 10);
	assert_done(age_key_format_secret(key, &secret, E));
	data = changeset_dictionary_data(dictionary, &len);
	write_file("dict", data, len);
	write_file("key", secret.data, secret.len);
	write_file("changes.age", payload.data, payload.len);
	(void)snprintf(command, sizeof(command),
	    "cd %s && age -d -i key changes.age | zstd -dqc -D dict >lines && test $(wc -l <lines) = 11 &&"
	    " test $(jq -r 'select(.doc).doc.type' lines | sort | uniq -c | tr -d ' ') = 10person",
	    dir);
	assert_int_equal(system(command), 0);
	changeset_dictionary_free(dictionary);
	qosid_buf_free(&payload);
	qosid_buf_wipe(&secret);
}

static void test_bad_dictionaries(void **state)
{
	struct changeset_dictionary *dictionary = NULL;
	uint8_t *big = calloc(1, LIMIT_DICTIONARY_BYTES + 1);

	(void)state;
	assert_non_null(big);
	assert_refused(QOSID_ERR_INVALID, "", "is none", changeset_dictionary_load(&dictionary, "", 0, E));
	assert_refused(QOSID_ERR_INVALID, "", "is none", changeset_dictionary_load(&dictionary, big, 4096, E));
	memcpy(big, "\x37\xa4\x30\xec\x01\x00\x00\x80", 8);
	assert_refused(QOSID_ERR_LIMIT, "", "larger than",
	    changeset_dictionary_load(&dictionary, big, LIMIT_DICTIONARY_BYTES + 1, E));
	assert_null(dictionary);

	/* The head of one, and nonsense after it. */
	assert_refused(QOSID_ERR_INVALID, "", "damaged", changeset_dictionary_load(&dictionary, big, 4096, E));
	assert_null(dictionary);
	free(big);
}

static void test_padding(void **state)
{
	struct qosid_buf payload = {0}, plain = {0}, changed = {0};
	size_t sizes[200], distinct = 0;
	int lines;

	(void)state;
	for (int count = 1; count <= 200; count++) {
		size_t size;

		encode(&payload, NULL, count);
		size = payload.len;
		encode(&payload, &(struct changeset_packing){.pad = true}, count);
		assert_true(payload.len >= size + CODEC_PADDING_HEAD && payload.len <= size + size / 8 + 64);
		assert_done(decode(&payload, NULL, &lines, E));
		assert_int_equal(lines, count);
		if (distinct == 0 || sizes[distinct - 1] != payload.len)
			sizes[distinct++] = payload.len;
	}
	assert_in_range(distinct, 10, 100); /* of 200 */

	encode(&payload, &(struct changeset_packing){.pad = true}, 23);
	const struct age_unlock unlock = {.keys = (const struct age_key *const *)&key, .key_count = 1};
	assert_done(age_decrypt_buf(&plain, &unlock, payload.data, payload.len, 1 << 20, E));
	assert_int_equal(plain.data[plain.len - 1], 0);
	for (int round = 0; round < 4; round++) {
		qosid_buf_reset(&changed);
		assert_done(qosid_buf_append(&changed, plain.data, plain.len, E));
		if (round == 0)
			changed.data[changed.len - 1] = 1; /* something is hidden in it */
		else if (round == 1)
			changed.len--;
		else if (round == 2)
			assert_done(qosid_buf_append_byte(&changed, 0, E));
		else /* a second one */
			assert_done(qosid_buf_append(&changed, "\x50\x2a\x4d\x18\0\0\0\0", 8, E));
		encrypt(&payload, &changed, key);
		assert_int_equal(decode(&payload, NULL, &lines, NULL), QOSID_ERR_INVALID);
	}
	qosid_buf_free(&payload);
	qosid_buf_free(&plain);
	qosid_buf_free(&changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_training),
	    cmocka_unit_test(test_stock_tools),
	    cmocka_unit_test(test_bad_dictionaries),
	    cmocka_unit_test(test_padding),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
