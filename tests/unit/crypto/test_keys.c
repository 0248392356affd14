/*
 * Keys and identities: text forms, files, and the vectors of X25519 (RFC 7748) and Ed25519 (RFC 8032).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/age.h"
#include "crypto/bech32.h"
#include "crypto/keys.h"
#include "crypto/keys_internal.h"
#include "tests/unit/crypto/vectors.h"

static void from_hex(uint8_t *out, size_t size, const char *hex)
{
	size_t len;

	assert_int_equal(sodium_hex2bin(out, size, hex, strlen(hex), NULL, &len, NULL), 0);
	assert_int_equal(len, size);
}

/* ---- age keys
 * ---------------------------------------------------------------------------------------------------------- */

static struct age_key *key_from_hex(const char *hex)
{
	char text[BECH32_TEXT_MAX + 1];
	struct age_key *key;
	uint8_t secret[32];

	from_hex(secret, sizeof(secret), hex);
	assert_int_equal(bech32_encode(text, "AGE-SECRET-KEY-", secret, sizeof(secret)), 0);
	assert_int_equal(strlen(text), AGE_SECRET_SIZE - 1);
	assert_int_equal(age_key_parse(&key, text, strlen(text), NULL), 0);
	return key;
}

/* RFC 7748 section 5.2, first vector, and Bob's side of section 6.1. */
static void test_x25519_vectors(void **state)
{
	static const struct {
		const char *secret, *share, *shared;
	} vectors[] = {
	    {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
		"e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
		"c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
	    {"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
		"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
		"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
	};
	uint8_t share[32], expected[32], shared[32];
	struct age_key *key = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		age_key_free(key);
		key = key_from_hex(vectors[i].secret);
		from_hex(share, sizeof(share), vectors[i].share);
		from_hex(expected, sizeof(expected), vectors[i].shared);
		assert_int_equal(age_key_agree(shared, key, share), 0);
		assert_memory_equal(shared, expected, sizeof(shared));
	}
	from_hex(expected, sizeof(expected), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_memory_equal(age_key_public(key), expected, sizeof(expected));
	memset(share, 0, sizeof(share));
	assert_int_equal(age_key_agree(shared, key, share), -1);
	age_key_free(key);
}

static void test_key_round_trip(void **state)
{
	struct age_key *key, *again;
	struct qosid_buf secret = {0};
	uint8_t public_key[32];

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(age_key_create(&key, NULL), 0);
		assert_int_equal(strlen(age_key_recipient(key)), AGE_RECIPIENT_SIZE - 1);
		assert_int_equal(age_recipient_check(age_key_recipient(key), NULL), 0);
		assert_int_equal(age_recipient_parse(public_key, age_key_recipient(key), NULL), 0);
		assert_memory_equal(public_key, age_key_public(key), sizeof(public_key));
		qosid_buf_reset(&secret);
		assert_int_equal(age_key_format_secret(key, &secret, NULL), 0);
		assert_int_equal(secret.len, AGE_SECRET_SIZE - 1);
		assert_int_equal(age_key_parse(&again, (char *)secret.data, secret.len, NULL), 0);
		assert_string_equal(age_key_recipient(again), age_key_recipient(key));
		age_key_free(key);
		age_key_free(again);
	}
	qosid_buf_wipe(&secret);
	age_key_free(NULL);
}

static void test_bad_secret_keys(void **state)
{
	struct qosid_buf secret = {0};
	struct qosid_errbuf err = {0};
	struct age_key *key, *bad;
	char *text;

	(void)state;
	assert_int_equal(age_key_create(&key, NULL), 0);
	assert_int_equal(age_key_format_secret(key, &secret, NULL), 0);
	text = (char *)secret.data;
	assert_int_equal(age_key_parse(&bad, text, secret.len - 1, &err), QOSID_ERR_INVALID);
	assert_null(bad);
	assert_int_equal(age_key_parse(&bad, text, secret.len + 1, &err), QOSID_ERR_INVALID);
	assert_int_equal(age_key_parse(&bad, text, 0, &err), QOSID_ERR_INVALID);
	assert_int_equal(
	    age_key_parse(&bad, age_key_recipient(key), strlen(age_key_recipient(key)), &err), QOSID_ERR_INVALID);
	for (size_t i = 0; i < secret.len; i++) {
		char kept = text[i];

		text[i] = kept == 'Q' ? 'P' : 'Q';
		assert_int_equal(age_key_parse(&bad, text, secret.len, &err), QOSID_ERR_INVALID);
		/* The error must not tell the secret. */
		assert_null(strstr(err.what, text + 20));
		text[i] = kept;
	}
	for (size_t i = 0; i < secret.len; i++)
		text[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
	assert_int_equal(age_key_parse(&bad, text, secret.len, &err), QOSID_ERR_INVALID);
	age_key_free(key);
	qosid_buf_wipe(&secret);
}

static void test_key_files(void **state)
{
	struct qosid_buf text = {0}, crlf = {0};
	struct qosid_errbuf err = {0};
	struct age_key *key;

	(void)state;
	vector_read(&text, "age/key.txt");
	assert_int_equal(age_key_parse_file(&key, (char *)text.data, text.len, NULL), 0);
	assert_non_null(strstr((char *)text.data, age_key_recipient(key)));
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '\n')
			assert_int_equal(qosid_buf_append_byte(&crlf, '\r', NULL), 0);
		assert_int_equal(qosid_buf_append_byte(&crlf, text.data[i], NULL), 0);
	}
	age_key_free(key);
	assert_int_equal(age_key_parse_file(&key, (char *)crlf.data, crlf.len, NULL), 0);
	age_key_free(key);
	assert_int_equal(age_key_parse_file(&key, "# nothing\n\n", 11, &err), QOSID_ERR_INVALID);
	assert_int_equal(age_key_parse_file(&key, "", 0, &err), QOSID_ERR_INVALID);
	assert_int_equal(age_key_parse_file(&key, "# one\nAGE-SECRET-KEY-1X\n", 24, &err), QOSID_ERR_INVALID);
	assert_string_equal(err.where, "line 2");
	qosid_buf_free(&text);
	qosid_buf_free(&crlf);
}

static void test_bad_recipients(void **state)
{
	static const char *const bad[] = {"", "age1", "age", "hello",
	    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpfwgqrs",
	    "AGE1ZVKYG2LQZRAA2LNJVQEJ32NKUU0UES2S82HZRYE869XEEXVN73EQUNUJWJ"};
	char text[BECH32_TEXT_MAX + 1];
	struct qosid_errbuf err = {0};
	uint8_t point[32] = {0};
	char *longer;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(age_recipient_check(bad[i], &err), QOSID_ERR_INVALID);
	for (uint8_t low = 0; low < 2; low++) {
		point[0] = low;
		assert_int_equal(bech32_encode(text, "age", point, sizeof(point)), 0);
		assert_int_equal(age_recipient_check(text, &err), QOSID_ERR_INVALID);
		assert_non_null(strstr(err.what, "low-order"));
	}
	from_hex(point, sizeof(point), "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
	assert_int_equal(bech32_encode(text, "age", point, sizeof(point)), 0);
	assert_int_equal(age_recipient_check(text, &err), QOSID_ERR_INVALID);
	point[0] = 9;
	memset(point + 1, 0, sizeof(point) - 1);
	assert_int_equal(bech32_encode(text, "age", point, sizeof(point)), 0);
	assert_int_equal(age_recipient_check(text, &err), 0);
	assert_int_equal(bech32_encode(text, "aga", point, sizeof(point)), 0);
	assert_int_equal(age_recipient_check(text, &err), QOSID_ERR_INVALID);

	longer = malloc(100000);
	assert_non_null(longer);
	memset(longer, 'q', 99999);
	longer[99999] = '\0';
	assert_int_equal(age_recipient_check(longer, &err), QOSID_ERR_INVALID);
	free(longer);
}

/* ---- identities
 * ---------------------------------------------------------------------------------------------------------- */

static struct identity *identity_of(const struct qosid_buf *text)
{
	struct identity *identity;

	assert_int_equal(identity_parse(&identity, (const char *)text->data, text->len, NULL), 0);
	return identity;
}

/* RFC 8032 section 7.1, tests 1 to 3: the seed goes in through the text form. */
static void test_ed25519_vectors(void **state)
{
	static const struct {
		const char *seed, *public_key, *message, *signature;
	} vectors[] = {
	    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5"
		"f0595bbe"
		"24655141438e7a100b"},
	    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
		"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2e"
		"aeb4302a"
		"eeb00d291612bb0c00"},
	    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15"
		"e9716ed2"
		"8dc027beceea1ec40a"},
	};
	struct age_key *age_key;

	(void)state;
	assert_int_equal(age_key_create(&age_key, NULL), 0);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t seed[32], public_key[32], message[2] = {0}, signature[64], expected[64],
						  blob[51] = "\0\0\0\13ssh-ed25519\0\0\0 ";
		char seed_text[45], blob_text[69];
		struct qosid_buf text = {0};
		struct identity *identity;
		size_t len = strlen(vectors[i].message) / 2;

		from_hex(seed, sizeof(seed), vectors[i].seed);
		from_hex(public_key, sizeof(public_key), vectors[i].public_key);
		from_hex(expected, sizeof(expected), vectors[i].signature);
		from_hex(message, len, vectors[i].message);
		memcpy(blob + 19, public_key, sizeof(public_key));
		sodium_bin2base64(seed_text, sizeof(seed_text), seed, sizeof(seed), sodium_base64_VARIANT_ORIGINAL);
		sodium_bin2base64(blob_text, sizeof(blob_text), blob, sizeof(blob), sodium_base64_VARIANT_ORIGINAL);
		assert_int_equal(qosid_buf_append_format(&text, NULL,
				     "# qosid identity 1\n# signing-public: ssh-ed25519 %s\n# encryption-public: %s\n"
				     "# signing-secret: %s\n",
				     blob_text, age_key_recipient(age_key), seed_text),
		    0);
		assert_int_equal(age_key_format_secret(age_key, &text, NULL), 0);
		identity = identity_of(&text);
		assert_memory_equal(identity_signing_public(identity), public_key, sizeof(public_key));
		assert_int_equal(identity_sign(identity, signature, message, len, NULL), 0);
		assert_memory_equal(signature, expected, sizeof(signature));
		identity_free(identity);
		qosid_buf_free(&text);
	}
	age_key_free(age_key);
}

static void assert_same_identity(const struct identity *a, const struct identity *b)
{
	assert_memory_equal(identity_signing_public(a), identity_signing_public(b), SIGNING_PUBLIC_BYTES);
	assert_memory_equal(identity_signing_secret(a), identity_signing_secret(b), SIGNING_SECRET_BYTES);
	assert_string_equal(identity_ssh_public(a), identity_ssh_public(b));
	assert_string_equal(identity_recipient(a), identity_recipient(b));
}

static void test_identity_text_round_trip(void **state)
{
	struct qosid_buf text = {0}, again_text = {0};
	struct identity *identity, *again;

	(void)state;
	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(identity_format_secret(identity, &text, NULL), 0);
	again = identity_of(&text);
	assert_same_identity(identity, again);
	assert_ptr_not_equal(identity_age_key(identity), identity_age_key(again));
	assert_int_equal(identity_format_secret(again, &again_text, NULL), 0);
	assert_string_equal((char *)text.data, (char *)again_text.data);
	identity_free(again);

	/* Other comments and blank lines do not matter. */
	assert_int_equal(qosid_buf_append_text(&text, "\n# a note\n", NULL), 0);
	again = identity_of(&text);
	assert_same_identity(identity, again);
	identity_free(again);
	identity_free(identity);
	identity_free(NULL);
	qosid_buf_wipe(&text);
	qosid_buf_wipe(&again_text);
}

/* Write text with the first occurrence of from replaced. */
static void replaced(struct qosid_buf *out, const struct qosid_buf *text, const char *from, const char *to)
{
	const char *all = (const char *)text->data, *at = strstr(all, from);

	assert_non_null(at);
	qosid_buf_reset(out);
	assert_int_equal(qosid_buf_append(out, all, (size_t)(at - all), NULL), 0);
	assert_int_equal(qosid_buf_append_text(out, to, NULL), 0);
	assert_int_equal(qosid_buf_append_text(out, at + strlen(from), NULL), 0);
}

static void test_bad_identity_texts(void **state)
{
	struct qosid_buf text = {0}, other_text = {0}, bad = {0};
	struct identity *identity, *other, *out;
	struct qosid_errbuf err = {0};
	const char *pairs[][2] = {
	    {"# qosid identity 1\n", "# qosid identity 2\n"},
	    {"# qosid identity 1\n", ""},
	    {"# qosid identity 1\n", "\n# qosid identity 1\n"},
	    {"# qosid identity 1\n", "# qosid identity 1\r\n"},
	    {"# signing-public: ", "# signing-publik: "},
	    {"# encryption-public: ", "# "},
	    {"# signing-secret: ", "# signing-secret:  "},
	    {"# signing-secret: ", "# signing-secret: A"},
	    {"AGE-SECRET-KEY-1", "AGE-SECRET-KEY-2"},
	    {"AGE-SECRET-KEY-1", "age-secret-key-1"},
	    {"AGE-SECRET-KEY-1", " AGE-SECRET-KEY-1"},
	    {"AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1\nAGE-SECRET-KEY-1"},
	    {"AGE-SECRET-KEY-1", "something\nAGE-SECRET-KEY-1"},
	    {"# signing-public: ssh-ed25519 ", "# signing-public: ssh-rsa "},
	    {NULL, NULL},
	    {NULL, NULL},
	};
	size_t count = sizeof(pairs) / sizeof(pairs[0]);

	(void)state;
	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(identity_create(&other, NULL), 0);
	assert_int_equal(identity_format_secret(identity, &text, NULL), 0);
	/* Public halves of another identity. */
	pairs[count - 2][0] = identity_ssh_public(identity);
	pairs[count - 2][1] = identity_ssh_public(other);
	pairs[count - 1][0] = identity_recipient(identity);
	pairs[count - 1][1] = identity_recipient(other);
	for (size_t i = 0; i < count; i++) {
		replaced(&bad, &text, pairs[i][0], pairs[i][1]);
		if (identity_parse(&out, (char *)bad.data, bad.len, &err) != QOSID_ERR_INVALID)
			fail_msg("case %zu was taken", i);
		assert_null(out);
		assert_string_not_equal(err.what, "");
	}
	for (size_t len = 0; len < text.len - 1; len++)
		assert_int_equal(identity_parse(&out, (char *)text.data, len, &err), QOSID_ERR_INVALID);
	/* Only the last newline may be missing. */
	assert_int_equal(identity_parse(&out, (char *)text.data, text.len - 1, &err), 0);
	identity_free(out);
	identity_free(identity);
	identity_free(other);
	qosid_buf_wipe(&text);
	qosid_buf_wipe(&other_text);
	qosid_buf_wipe(&bad);
}

/* ---- files
 * --------------------------------------------------------------------------------------------------------------- */

struct scratch {
	char folder[64];
	char path[96];
};

static int make_scratch(void **state)
{
	static struct scratch scratch;

	(void)snprintf(scratch.folder, sizeof(scratch.folder), "/tmp/qosid-keys-XXXXXX");
	if (mkdtemp(scratch.folder) == NULL)
		return -1;
	(void)snprintf(scratch.path, sizeof(scratch.path), "%s/identity", scratch.folder);
	*state = &scratch;
	return 0;
}

/* How many files the folder holds; with remove they are gone after. */
static int count_files(const struct scratch *scratch, int remove)
{
	DIR *folder = opendir(scratch->folder);
	struct dirent *entry;
	int count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (remove)
			assert_int_equal(unlinkat(dirfd(folder), entry->d_name, 0), 0);
	}
	assert_int_equal(closedir(folder), 0);
	return count;
}

static int drop_scratch(void **state)
{
	const struct scratch *scratch = *state;

	(void)count_files(scratch, 1);
	return rmdir(scratch->folder);
}

static void write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

/* Counts how often it is asked. */
struct asker {
	const char *passphrase;
	int asked;
	int code;
};

static int ask(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	struct asker *asker = context;

	assert_non_null(path);
	asker->asked++;
	if (asker->code < 0)
		return qosid_error(err, asker->code, "nobody is there");
	return qosid_buf_append_text(buf, asker->passphrase, err);
}

static void test_file_in_clear(void **state)
{
	const struct scratch *scratch = *state;
	struct asker asker = {"unused", 0, 0};
	struct identity *identity, *again;
	struct age_key *key;
	struct qosid_buf text = {0}, file = {0};
	struct stat st;
	int fd;

	assert_int_equal(identity_create(&identity, NULL), 0);
	(void)umask(0);
	assert_int_equal(identity_save(identity, scratch->path, NULL, NULL), 0);
	assert_int_equal(stat(scratch->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(count_files(scratch, 0), 1);
	assert_int_equal(identity_load(&again, scratch->path, ask, &asker, NULL), 0);
	assert_int_equal(asker.asked, 0);
	assert_same_identity(identity, again);
	identity_free(again);

	assert_int_equal(identity_format_secret(identity, &text, NULL), 0);
	fd = open(scratch->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(qosid_buf_reserve(&file, 4096, NULL), 0);
	file.len = (size_t)read(fd, file.data, 4096);
	assert_int_equal(close(fd), 0);
	assert_int_equal(file.len, text.len);
	assert_memory_equal(file.data, text.data, text.len);
	/* The file is an age identity file, too. */
	assert_int_equal(age_key_parse_file(&key, (char *)file.data, file.len, NULL), 0);
	assert_string_equal(age_key_recipient(key), identity_recipient(identity));
	age_key_free(key);
	identity_free(identity);
	qosid_buf_wipe(&text);
	qosid_buf_wipe(&file);
}

static void test_file_is_never_overwritten(void **state)
{
	const struct scratch *scratch = *state;
	struct identity *identity, *other, *again;
	struct qosid_errbuf err = {0};
	char nowhere[128];

	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(identity_create(&other, NULL), 0);
	assert_int_equal(identity_save(identity, scratch->path, NULL, NULL), 0);
	assert_int_equal(identity_save(other, scratch->path, NULL, &err), QOSID_ERR_EXISTS);
	assert_non_null(strstr(err.what, scratch->path));
	assert_int_equal(identity_load(&again, scratch->path, NULL, NULL, NULL), 0);
	assert_same_identity(identity, again);
	identity_free(again);
	assert_int_equal(count_files(scratch, 1), 1);

	/* Not even a link that leads nowhere, or a folder. */
	assert_int_equal(symlink("nowhere", scratch->path), 0);
	assert_int_equal(identity_save(other, scratch->path, NULL, &err), QOSID_ERR_EXISTS);
	assert_int_equal(count_files(scratch, 1), 1);

	(void)snprintf(nowhere, sizeof(nowhere), "%s/no/folder", scratch->folder);
	assert_int_equal(identity_save(other, nowhere, NULL, &err), QOSID_ERR_NOTFOUND);
	(void)snprintf(nowhere, sizeof(nowhere), "%s/", scratch->folder);
	assert_int_equal(identity_save(other, nowhere, NULL, &err), QOSID_ERR_USAGE);
	assert_int_equal(identity_save(other, scratch->path, "", &err), QOSID_ERR_USAGE);
	assert_int_equal(count_files(scratch, 0), 0);
	identity_free(identity);
	identity_free(other);
}

static void assert_holds(const char *path, const struct identity *identity, const char *passphrase)
{
	struct asker asker = {passphrase, 0, 0};
	struct identity *again;
	bool wrapped;

	assert_int_equal(identity_file_is_wrapped(&wrapped, path, NULL), 0);
	assert_int_equal(wrapped, passphrase != NULL);
	assert_int_equal(identity_load(&again, path, passphrase == NULL ? NULL : ask, &asker, NULL), 0);
	assert_same_identity(identity, again);
	identity_free(again);
}

static void test_file_is_replaced(void **state)
{
	const struct scratch *scratch = *state;
	char left[128], link[128];
	struct identity *identity;
	struct qosid_errbuf err = {0};
	struct stat st;

	assert_int_equal(identity_create(&identity, NULL), 0);
	(void)snprintf(link, sizeof(link), "%s/link", scratch->folder);
	(void)snprintf(left, sizeof(left), "%s/.qosid-identity-new", scratch->folder);

	assert_int_equal(identity_replace(identity, scratch->path, NULL, &err), QOSID_ERR_NOTFOUND);
	assert_int_equal(identity_save(identity, scratch->path, NULL, NULL), 0);
	write_file(left, "what a killed one left", 22, 0600);
	assert_int_equal(identity_replace(identity, scratch->path, "correct horse", NULL), 0);
	assert_holds(scratch->path, identity, "correct horse");
	assert_int_equal(access(left, F_OK), -1);
	assert_int_equal(stat(scratch->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* What a link leads to is replaced, and the link stays. */
	assert_int_equal(symlink(scratch->path, link), 0);
	assert_int_equal(identity_replace(identity, link, NULL, NULL), 0);
	assert_holds(scratch->path, identity, NULL);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(link), 0);

	/* One that cannot be written leaves the old file and nothing beside it. */
	assert_int_equal(identity_replace(identity, scratch->path, "", &err), QOSID_ERR_USAGE);
	assert_holds(scratch->path, identity, NULL);
	assert_int_equal(count_files(scratch, 1), 1);
	identity_free(identity);
}

static void test_file_in_the_current_folder(void **state)
{
	const struct scratch *scratch = *state;
	struct identity *identity, *again;
	char *before = getcwd(NULL, 0);

	assert_non_null(before);
	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(chdir(scratch->folder), 0);
	assert_int_equal(identity_save(identity, "identity", NULL, NULL), 0);
	assert_int_equal(identity_load(&again, "identity", NULL, NULL, NULL), 0);
	assert_same_identity(identity, again);
	assert_int_equal(chdir(before), 0);
	identity_free(identity);
	identity_free(again);
	free(before);
}

static void test_file_that_others_can_read(void **state)
{
	static const mode_t modes[] = {0644, 0640, 0620, 0604, 0601};
	const struct scratch *scratch = *state;
	struct identity *identity, *again;
	struct qosid_errbuf err = {0};

	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(identity_save(identity, scratch->path, NULL, NULL), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(scratch->path, modes[i]), 0);
		assert_int_equal(identity_load(&again, scratch->path, NULL, NULL, &err), QOSID_ERR_REFUSED);
		assert_null(again);
		assert_memory_equal(err.hint, "chmod 600 ", 10);
	}
	assert_int_equal(chmod(scratch->path, 0400), 0);
	assert_int_equal(identity_load(&again, scratch->path, NULL, NULL, &err), 0);
	identity_free(again);
	identity_free(identity);
}

static void test_files_that_are_none(void **state)
{
	const struct scratch *scratch = *state;
	struct identity *identity;
	struct qosid_errbuf err = {0};
	char *large = calloc(1, 65537);

	assert_non_null(large);
	assert_int_equal(identity_load(&identity, scratch->path, NULL, NULL, &err), QOSID_ERR_NOTFOUND);
	assert_int_equal(identity_load(&identity, scratch->folder, NULL, NULL, &err), QOSID_ERR_INVALID);
	write_file(scratch->path, "", 0, 0600);
	assert_int_equal(identity_load(&identity, scratch->path, NULL, NULL, &err), QOSID_ERR_INVALID);
	assert_string_equal(err.where, scratch->path);
	write_file(scratch->path, large, 65537, 0600);
	assert_int_equal(identity_load(&identity, scratch->path, NULL, NULL, &err), QOSID_ERR_LIMIT);
	assert_null(identity);
	free(large);
}

/* A wrapped file at a work factor that keeps the test quick. */
static void write_wrapped(const char *path, const struct qosid_buf *text)
{
	struct qosid_buf file = {0};
	struct qosid_buf_sink target = {&file, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct age_encryptor *encryptor;

	assert_int_equal(age_encryptor_open_passphrase(&encryptor, "correct horse", 8, &sink, NULL), 0);
	assert_int_equal(age_encryptor_write(encryptor, text->data, text->len, NULL), 0);
	assert_int_equal(age_encryptor_finish(encryptor, NULL), 0);
	age_encryptor_free(encryptor);
	write_file(path, file.data, file.len, 0600);
	qosid_buf_free(&file);
}

static void test_passphrases(void **state)
{
	const struct scratch *scratch = *state;
	struct asker right = {"correct horse", 0, 0}, wrong = {"wrong horse", 0, 0}, empty = {"", 0, 0};
	struct asker away = {"", 0, QOSID_ERR_OFFLINE};
	struct identity *identity, *again;
	struct qosid_errbuf err = {0};
	struct qosid_buf text = {0};

	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(identity_format_secret(identity, &text, NULL), 0);
	write_wrapped(scratch->path, &text);
	assert_int_equal(identity_load(&again, scratch->path, ask, &right, NULL), 0);
	assert_int_equal(right.asked, 1);
	assert_same_identity(identity, again);
	identity_free(again);
	assert_int_equal(identity_load(&again, scratch->path, ask, &wrong, &err), QOSID_ERR_REFUSED);
	assert_null(again);
	assert_int_equal(identity_load(&again, scratch->path, ask, &empty, &err), QOSID_ERR_REFUSED);
	assert_int_equal(identity_load(&again, scratch->path, ask, &away, &err), QOSID_ERR_OFFLINE);
	assert_int_equal(identity_load(&again, scratch->path, NULL, NULL, &err), QOSID_ERR_REFUSED);
	assert_string_not_equal(err.hint, "");

	/* What is wrapped must be an identity. */
	text.data[0] = 'x';
	write_wrapped(scratch->path, &text);
	assert_int_equal(identity_load(&again, scratch->path, ask, &right, &err), QOSID_ERR_INVALID);
	identity_free(identity);
	qosid_buf_wipe(&text);
}

/* The one case at the work factor that people get. */
static void test_saved_with_a_passphrase(void **state)
{
	const struct scratch *scratch = *state;
	struct asker asker = {"correct horse", 0, 0};
	struct identity *identity, *again;
	char start[128] = {0};
	int fd;

	assert_int_equal(identity_create(&identity, NULL), 0);
	assert_int_equal(identity_save(identity, scratch->path, "correct horse", NULL), 0);
	fd = open(scratch->path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, start, sizeof(start) - 1) > 64);
	assert_int_equal(close(fd), 0);
	assert_memory_equal(start, "age-encryption.org/v1\n-> scrypt ", 32);
	assert_memory_equal(start + 32 + 22, " 18\n", 4);
	assert_int_equal(identity_load(&again, scratch->path, ask, &asker, NULL), 0);
	assert_same_identity(identity, again);
	identity_free(again);
	identity_free(identity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_x25519_vectors),
	    cmocka_unit_test(test_key_round_trip),
	    cmocka_unit_test(test_bad_secret_keys),
	    cmocka_unit_test(test_key_files),
	    cmocka_unit_test(test_bad_recipients),
	    cmocka_unit_test(test_ed25519_vectors),
	    cmocka_unit_test(test_identity_text_round_trip),
	    cmocka_unit_test(test_bad_identity_texts),
	    cmocka_unit_test_setup_teardown(test_file_in_clear, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_file_is_never_overwritten, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_file_is_replaced, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_file_in_the_current_folder, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_file_that_others_can_read, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_files_that_are_none, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_passphrases, make_scratch, drop_scratch),
	    cmocka_unit_test_setup_teardown(test_saved_with_a_passphrase, make_scratch, drop_scratch),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
