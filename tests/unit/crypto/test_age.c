/*
 * age as a stream: round trips of all sizes and pieces, what the sink may do, limits, files made by the stock age, and
 * the vectors of the primitives that the format names. The format's corners are in test_age_format.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age.h"
#include "crypto/age_internal.h"
#include "tests/unit/crypto/vectors.h"

#define MESSAGE "Records that outlive the program.\n"

static void fill(struct qosid_buf *buf, size_t len)
{
	static const uint8_t seed[randombytes_SEEDBYTES] = {1};

	assert_int_equal(qosid_buf_reserve(buf, len, NULL), 0);
	randombytes_buf_deterministic(buf->data, len, seed);
	buf->len = len;
	buf->data[len] = 0;
}

static int decrypt(struct qosid_buf *out, const struct age_key *key, const struct qosid_buf *file)
{
	return age_decrypt_buf(out, &(struct age_unlock){.keys = &key, .key_count = 1}, file->data, file->len, 0, NULL);
}

static void test_round_trip_of_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 65535, 65536, 65537, 131071, 131072, 131073, 300000};
	struct age_key *key;
	const char *recipient;

	(void)state;
	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct qosid_buf plain = {0}, file = {0}, again = {0};
		size_t chunks = sizes[i] == 0 ? 1 : (sizes[i] + AGE_CHUNK_BYTES - 1) / AGE_CHUNK_BYTES;

		fill(&plain, sizes[i]);
		assert_int_equal(qosid_buf_append_text(&again, "before", NULL), 0);
		assert_int_equal(age_encrypt_buf(&file, &recipient, 1, plain.data, plain.len, NULL), 0);
		/* Version, one stanza, MAC line, nonce; then the chunks. */
		assert_int_equal(file.len, 22 + 98 + 48 + 16 + plain.len + 16 * chunks);
		assert_int_equal(decrypt(&again, key, &file), 0);
		assert_int_equal(again.len, 6 + plain.len);
		assert_memory_equal(again.data, "before", 6);
		assert_memory_equal(again.data + 6, plain.data, plain.len);
		qosid_buf_free(&plain);
		qosid_buf_free(&file);
		qosid_buf_free(&again);
	}
	age_key_free(key);
}

static void test_round_trip_in_pieces(void **state)
{
	static const size_t pieces[] = {1, 7, 4096, 65535, 65537};
	struct qosid_buf plain = {0};
	struct age_key *key;
	const char *recipient;

	(void)state;
	fill(&plain, 70000);
	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct qosid_buf file = {0}, again = {0};
		struct qosid_buf_sink target = {&file, 0};
		struct qosid_sink sink = qosid_sink_to_buf(&target);
		struct age_encryptor *encryptor;

		assert_int_equal(age_encryptor_open(&encryptor, &recipient, 1, &sink, NULL), 0);
		for (size_t at = 0; at < plain.len; at += pieces[i]) {
			size_t left = plain.len - at;

			assert_int_equal(
			    age_encryptor_write(encryptor, plain.data + at, left < pieces[i] ? left : pieces[i], NULL),
			    0);
			assert_int_equal(age_encryptor_write(encryptor, NULL, 0, NULL), 0);
		}
		assert_int_equal(age_encryptor_finish(encryptor, NULL), 0);
		age_encryptor_free(encryptor);
		assert_int_equal(decrypt(&again, key, &file), 0);
		assert_int_equal(again.len, plain.len);
		assert_memory_equal(again.data, plain.data, plain.len);
		qosid_buf_free(&file);
		qosid_buf_free(&again);
	}
	qosid_buf_free(&plain);
	age_key_free(key);
}

static void test_many_recipients(void **state)
{
	enum { COUNT = 1000 };
	struct age_key *keys[3];
	const char **recipients = calloc(3000, sizeof(*recipients));
	struct qosid_buf file = {0}, plain = {0};

	(void)state;
	assert_non_null(recipients);
	for (int i = 0; i < 3; i++)
		assert_int_equal(age_key_create(&keys[i], NULL), 0);
	for (int i = 0; i < 3000; i++)
		recipients[i] = age_key_recipient(keys[0]);
	recipients[COUNT - 1] = age_key_recipient(keys[1]);
	assert_int_equal(age_encrypt_buf(&file, recipients, COUNT, MESSAGE, strlen(MESSAGE), NULL), 0);
	assert_int_equal(decrypt(&plain, keys[1], &file), 0);
	assert_string_equal((char *)plain.data, MESSAGE);
	qosid_buf_reset(&plain);
	assert_int_equal(decrypt(&plain, keys[2], &file), QOSID_ERR_REFUSED);

	qosid_buf_reset(&file);
	assert_int_equal(qosid_buf_append_text(&file, "kept", NULL), 0);
	assert_int_equal(age_encrypt_buf(&file, recipients, 3000, MESSAGE, strlen(MESSAGE), NULL), QOSID_ERR_LIMIT);
	assert_string_equal((char *)file.data, "kept");
	for (int i = 0; i < 3; i++)
		age_key_free(keys[i]);
	free(recipients);
	qosid_buf_free(&file);
	qosid_buf_free(&plain);
}

static void test_any_of_several_keys_opens(void **state)
{
	struct age_key *keys[3];
	struct qosid_buf file = {0}, plain = {0};
	const char *recipient;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(age_key_create(&keys[i], NULL), 0);
	for (int i = 0; i < 3; i++) {
		const struct age_key *const all[] = {keys[0], keys[1], keys[2]};
		struct age_unlock unlock = {.keys = all, .key_count = 3};

		recipient = age_key_recipient(keys[i]);
		qosid_buf_reset(&file);
		qosid_buf_reset(&plain);
		assert_int_equal(age_encrypt_buf(&file, &recipient, 1, MESSAGE, strlen(MESSAGE), NULL), 0);
		assert_int_equal(age_decrypt_buf(&plain, &unlock, file.data, file.len, 0, NULL), 0);
		assert_string_equal((char *)plain.data, MESSAGE);
	}
	for (int i = 0; i < 3; i++)
		age_key_free(keys[i]);
	qosid_buf_free(&file);
	qosid_buf_free(&plain);
}

static void test_bad_recipients(void **state)
{
	struct qosid_buf file = {0};
	struct qosid_errbuf err = {0};
	const char *recipients[2] = {"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj", "age1x"};

	(void)state;
	assert_int_equal(age_encrypt_buf(&file, recipients, 0, "x", 1, &err), QOSID_ERR_USAGE);
	assert_int_equal(age_encrypt_buf(&file, recipients, 2, "x", 1, &err), QOSID_ERR_INVALID);
	assert_non_null(strstr(err.what, "age1x"));
	assert_int_equal(file.len, 0);
	qosid_buf_free(&file);
}

static int encrypt_pass(struct qosid_buf *file, const char *passphrase, int work_factor)
{
	struct qosid_buf_sink target = {file, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct age_encryptor *encryptor;
	int rc = age_encryptor_open_passphrase(&encryptor, passphrase, work_factor, &sink, NULL);

	if (rc < 0)
		return rc;
	assert_int_equal(age_encryptor_write(encryptor, MESSAGE, strlen(MESSAGE), NULL), 0);
	assert_int_equal(age_encryptor_finish(encryptor, NULL), 0);
	age_encryptor_free(encryptor);
	return 0;
}

static void test_passphrases(void **state)
{
	struct qosid_buf file = {0}, plain = {0};
	struct qosid_errbuf err = {0};
	struct age_unlock unlock = {.passphrase = "\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c 1"};

	(void)state;
	assert_int_equal(encrypt_pass(&file, unlock.passphrase, 10), 0);
	assert_int_equal(age_decrypt_buf(&plain, &unlock, file.data, file.len, 0, NULL), 0);
	assert_string_equal((char *)plain.data, MESSAGE);
	unlock.work_factor_max = 9;
	assert_int_equal(age_decrypt_buf(&plain, &unlock, file.data, file.len, 0, &err), QOSID_ERR_LIMIT);
	unlock = (struct age_unlock){.passphrase = "another"};
	assert_int_equal(age_decrypt_buf(&plain, &unlock, file.data, file.len, 0, &err), QOSID_ERR_REFUSED);
	unlock.passphrase = NULL;
	assert_int_equal(age_decrypt_buf(&plain, &unlock, file.data, file.len, 0, &err), QOSID_ERR_REFUSED);
	assert_int_equal(plain.len, strlen(MESSAGE));

	qosid_buf_reset(&file);
	assert_int_equal(encrypt_pass(&file, "", 10), QOSID_ERR_USAGE);
	assert_int_equal(encrypt_pass(&file, "x", 0), QOSID_ERR_USAGE);
	assert_int_equal(encrypt_pass(&file, "x", -1), QOSID_ERR_USAGE);
	assert_int_equal(encrypt_pass(&file, "x", AGE_SCRYPT_WORK_FACTOR_MAX + 1), QOSID_ERR_USAGE);
	assert_int_equal(file.len, 0);
	assert_int_equal(encrypt_pass(&file, "x", 1), 0);
	qosid_buf_free(&file);
	qosid_buf_free(&plain);
}

static void test_failed_decryption_leaves_the_buffer(void **state)
{
	struct qosid_buf plain = {0}, file = {0}, out = {0};
	struct age_key *key;
	const char *recipient;

	(void)state;
	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	fill(&plain, 200000);
	assert_int_equal(age_encrypt_buf(&file, &recipient, 1, plain.data, plain.len, NULL), 0);
	assert_int_equal(qosid_buf_append_text(&out, "kept", NULL), 0);
	file.data[file.len - 1] ^= 1;
	assert_int_equal(decrypt(&out, key, &file), QOSID_ERR_REFUSED);
	assert_int_equal(out.len, 4);
	assert_string_equal((char *)out.data, "kept");
	assert_true(sodium_is_zero(out.data + 4, 3 * AGE_CHUNK_BYTES));
	file.data[file.len - 1] ^= 1;

	/* One byte more than the limit, and exactly the limit. */
	assert_int_equal(
	    age_decrypt_buf(&out, &(struct age_unlock){.keys = (const struct age_key *const[]){key}, .key_count = 1},
		file.data, file.len, 199999, NULL),
	    QOSID_ERR_LIMIT);
	assert_int_equal(out.len, 4);
	assert_int_equal(
	    age_decrypt_buf(&out, &(struct age_unlock){.keys = (const struct age_key *const[]){key}, .key_count = 1},
		file.data, file.len, 200000, NULL),
	    0);
	assert_int_equal(out.len, 200004);
	qosid_buf_free(&plain);
	qosid_buf_free(&file);
	qosid_buf_free(&out);
	age_key_free(key);
}

/* Each bit of a small file, one after the other: never opened, nothing released. */
static void test_every_bit_counts(void **state)
{
	struct qosid_buf file = {0}, out = {0};
	struct age_key *key;
	const char *recipient;

	(void)state;
	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	assert_int_equal(age_encrypt_buf(&file, &recipient, 1, MESSAGE, strlen(MESSAGE), NULL), 0);
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(decrypt(&out, key, &file) < 0);
		assert_int_equal(out.len, 0);
		file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < file.len; len++) {
		struct qosid_buf cut = {file.data, len, 0};

		assert_true(decrypt(&out, key, &cut) < 0);
		assert_int_equal(out.len, 0);
	}
	assert_int_equal(decrypt(&out, key, &file), 0);
	age_key_free(key);
	qosid_buf_free(&file);
	qosid_buf_free(&out);
}

/* A sink that takes so many bytes and then refuses. */
struct full_sink {
	size_t left;
	int refusals;
};

static int write_until_full(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct full_sink *sink = context;

	(void)data;
	if (len > sink->left) {
		sink->refusals++;
		return qosid_error(err, QOSID_ERR_FULL, "full");
	}
	sink->left -= len;
	return 0;
}

static void test_sink_failures_stick(void **state)
{
	struct full_sink full = {100, 0};
	struct qosid_sink sink = {write_until_full, &full};
	struct qosid_buf plain = {0}, file = {0};
	struct age_encryptor *encryptor;
	struct age_decryptor *decryptor;
	struct age_key *key;
	const char *recipient;

	(void)state;
	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	fill(&plain, 200000);

	assert_int_equal(age_encryptor_open(&encryptor, &recipient, 1, &sink, NULL), QOSID_ERR_FULL);
	assert_null(encryptor);
	full = (struct full_sink){70000, 0};
	assert_int_equal(age_encryptor_open(&encryptor, &recipient, 1, &sink, NULL), 0);
	assert_int_equal(age_encryptor_write(encryptor, plain.data, plain.len, NULL), QOSID_ERR_FULL);
	assert_int_equal(age_encryptor_write(encryptor, "x", 1, NULL), QOSID_ERR_FULL);
	assert_int_equal(age_encryptor_finish(encryptor, NULL), QOSID_ERR_FULL);
	assert_int_equal(full.refusals, 1);
	age_encryptor_free(encryptor);

	assert_int_equal(age_encrypt_buf(&file, &recipient, 1, plain.data, plain.len, NULL), 0);
	full = (struct full_sink){70000, 0};
	assert_int_equal(
	    age_decryptor_open(&decryptor,
		&(struct age_unlock){.keys = (const struct age_key *const[]){key}, .key_count = 1}, &sink, NULL),
	    0);
	assert_int_equal(age_decryptor_write(decryptor, file.data, file.len, NULL), QOSID_ERR_FULL);
	assert_int_equal(age_decryptor_finish(decryptor, NULL), QOSID_ERR_FULL);
	assert_int_equal(full.refusals, 1);
	age_decryptor_free(decryptor);
	age_key_free(key);
	qosid_buf_free(&plain);
	qosid_buf_free(&file);
}

static void test_use_after_finish(void **state)
{
	struct qosid_buf file = {0}, plain = {0};
	struct qosid_buf_sink target = {&file, 0}, plain_target = {&plain, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target), plain_sink = qosid_sink_to_buf(&plain_target);
	struct age_encryptor *encryptor;
	struct age_decryptor *decryptor;
	struct age_key *key;
	const char *recipient;

	(void)state;
	age_encryptor_free(NULL);
	age_decryptor_free(NULL);
	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	assert_int_equal(age_encryptor_open(&encryptor, &recipient, 1, &sink, NULL), 0);
	assert_int_equal(age_encryptor_finish(encryptor, NULL), 0);
	assert_int_equal(age_encryptor_finish(encryptor, NULL), QOSID_ERR_USAGE);
	assert_int_equal(age_encryptor_write(encryptor, "x", 1, NULL), QOSID_ERR_USAGE);
	age_encryptor_free(encryptor);
	assert_int_equal(
	    age_decryptor_open(&decryptor,
		&(struct age_unlock){.keys = (const struct age_key *const[]){key}, .key_count = 1}, &plain_sink, NULL),
	    0);
	assert_int_equal(age_decryptor_write(decryptor, file.data, file.len, NULL), 0);
	assert_int_equal(age_decryptor_finish(decryptor, NULL), 0);
	assert_int_equal(age_decryptor_finish(decryptor, NULL), QOSID_ERR_USAGE);
	assert_int_equal(age_decryptor_write(decryptor, "x", 1, NULL), QOSID_ERR_USAGE);
	age_decryptor_free(decryptor);
	age_key_free(key);
	qosid_buf_free(&file);
	qosid_buf_free(&plain);
}

/* ---- files made by the stock age
 * ------------------------------------------------------------------------------------- */

static void test_stock_files(void **state)
{
	static const struct {
		const char *path;
		size_t len;
	} files[] = {{"age/empty.age", 0}, {"age/short.age", sizeof(MESSAGE) - 1}, {"age/one-chunk.age", 65536},
	    {"age/two-chunks.age", 65537}, {"age/two-recipients.age", sizeof(MESSAGE) - 1}};
	struct qosid_buf text = {0};
	struct age_key *key;

	(void)state;
	vector_read(&text, "age/key.txt");
	assert_int_equal(age_key_parse_file(&key, (char *)text.data, text.len, NULL), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct qosid_buf file = {0}, plain = {0};

		vector_read(&file, files[i].path);
		assert_int_equal(decrypt(&plain, key, &file), 0);
		assert_int_equal(plain.len, files[i].len);
		for (size_t at = 0; at < plain.len; at++) {
			if (plain.data[at] != MESSAGE[at % strlen(MESSAGE)])
				fail_msg("%s differs at %zu", files[i].path, at);
		}
		qosid_buf_free(&file);
		qosid_buf_free(&plain);
	}
	age_key_free(key);

	qosid_buf_reset(&text);
	vector_read(&text, "age/other.txt");
	assert_int_equal(age_key_parse_file(&key, (char *)text.data, text.len, NULL), 0);
	qosid_buf_reset(&text);
	vector_read(&text, "age/short.age");
	{
		struct qosid_buf plain = {0};

		assert_int_equal(decrypt(&plain, key, &text), QOSID_ERR_REFUSED);
		qosid_buf_free(&plain);
	}
	age_key_free(key);
	qosid_buf_free(&text);
}

static void test_stock_passphrase_file(void **state)
{
	struct qosid_buf file = {0}, plain = {0};
	struct age_unlock unlock = {.passphrase = "correct horse"};

	(void)state;
	vector_read(&file, "age/passphrase.age");
	assert_int_equal(age_decrypt_buf(&plain, &unlock, file.data, file.len, 0, NULL), 0);
	assert_string_equal((char *)plain.data, MESSAGE);
	qosid_buf_free(&file);
	qosid_buf_free(&plain);
}

/* ---- published vectors of the primitives --------------------------------------------------------------------------
 */

static void from_hex(uint8_t *out, size_t size, const char *hex, size_t *len)
{
	assert_int_equal(sodium_hex2bin(out, size, hex, strlen(hex), NULL, len, NULL), 0);
}

/* RFC 5869 appendix A.1 to A.3; the first 32 bytes of each output. */
static void test_hkdf_vectors(void **state)
{
	static const struct {
		const char *secret, *salt, *info, *out;
	} vectors[] = {
	    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
		"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"},
	    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333"
	     "43536"
	     "3738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
		"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192"
		"93949596"
		"9798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		"b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2"
		"e3e4e5e6"
		"e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"},
	    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"},
	};
	uint8_t secret[80], salt[80], info[80], expected[32], out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t secret_len, salt_len, info_len, len;

		from_hex(secret, sizeof(secret), vectors[i].secret, &secret_len);
		from_hex(salt, sizeof(salt), vectors[i].salt, &salt_len);
		from_hex(info, sizeof(info), vectors[i].info, &info_len);
		from_hex(expected, sizeof(expected), vectors[i].out, &len);
		age_hkdf(out, secret, secret_len, salt, salt_len, info, info_len);
		assert_memory_equal(out, expected, sizeof(out));
	}
}

/* RFC 7914 section 12, with the calls that age_scrypt_wrap_key() makes. */
static void test_scrypt_vectors(void **state)
{
	static const struct {
		const char *passphrase, *salt;
		uint64_t n;
		uint32_t r, p;
		const char *out;
	} vectors[] = {
	    {"", "", 16, 1, 1,
		"77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
		"fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"},
	    {"pleaseletmein", "SodiumChloride", 16384, 8, 1,
		"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
		"d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"},
	};
	uint8_t out[64], expected[64];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t len;

		from_hex(expected, sizeof(expected), vectors[i].out, &len);
		assert_int_equal(
		    crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)vectors[i].passphrase,
			strlen(vectors[i].passphrase), (const uint8_t *)vectors[i].salt, strlen(vectors[i].salt),
			vectors[i].n, vectors[i].r, vectors[i].p, out, sizeof(out)),
		    0);
		assert_memory_equal(out, expected, sizeof(out));
	}
}

static void test_chunk_nonces(void **state)
{
	static const uint8_t first[12] = {0}, last[12] = {[11] = 1}, big[12] = {[3] = 1, 2, 3, 4, 5, 6, 7, 8, 1};
	uint8_t nonce[12];

	(void)state;
	age_chunk_nonce(nonce, 0, 0);
	assert_memory_equal(nonce, first, sizeof(nonce));
	age_chunk_nonce(nonce, 0, 1);
	assert_memory_equal(nonce, last, sizeof(nonce));
	age_chunk_nonce(nonce, UINT64_C(0x0102030405060708), 1);
	assert_memory_equal(nonce, big, sizeof(nonce));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip_of_sizes),
	    cmocka_unit_test(test_round_trip_in_pieces),
	    cmocka_unit_test(test_many_recipients),
	    cmocka_unit_test(test_any_of_several_keys_opens),
	    cmocka_unit_test(test_bad_recipients),
	    cmocka_unit_test(test_passphrases),
	    cmocka_unit_test(test_failed_decryption_leaves_the_buffer),
	    cmocka_unit_test(test_every_bit_counts),
	    cmocka_unit_test(test_sink_failures_stick),
	    cmocka_unit_test(test_use_after_finish),
	    cmocka_unit_test(test_stock_files),
	    cmocka_unit_test(test_stock_passphrase_file),
	    cmocka_unit_test(test_hkdf_vectors),
	    cmocka_unit_test(test_scrypt_vectors),
	    cmocka_unit_test(test_chunk_nonces),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
