/* Commits: what is written is read back, nothing else is accepted, and stock git accepts what we accept. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/sshsig.h"
#include "git_fixture.h"

struct fixture {
	struct identity *identity, *other;
};

static int setup(void **state)
{
	static struct fixture fixture;
	struct qosid_errbuf err = {0};

	assert_int_equal(identity_create(&fixture.identity, &err), 0);
	assert_int_equal(identity_create(&fixture.other, &err), 0);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	identity_free(fixture->identity);
	identity_free(fixture->other);
	return 0;
}

static void add_seen(struct commit *commit, const char *office, int64_t sequence)
{
	struct commit_seen *seen = realloc(commit->seen, (commit->seen_count + 1) * sizeof(*seen));

	assert_non_null(seen);
	commit->seen = seen;
	seen = &commit->seen[commit->seen_count++];
	*seen = (struct commit_seen){.sequence = sequence};
	(void)snprintf(seen->office, sizeof(seen->office), "%s", office);
	memset(seen->commit.id, (int)sequence, sizeof(seen->commit.id));
}

/* A commit with every trailer there is. */
static void full_commit(struct commit *commit)
{
	fixture_commit(commit, 7);
	memcpy(commit->file_digest, "blake2b-256:abcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd",
	    DIGEST_TEXT_SIZE);
	commit->file_part = 2;
	commit->file_parts = 3;
	add_seen(commit, "dushanbe", 3);
	add_seen(commit, "london", 4);
}

static int verify(const struct fixture *fixture, const struct qosid_buf *raw, struct qosid_errbuf *err)
{
	struct commit parsed;
	int rc = commit_verify(&parsed, raw->data, raw->len, identity_signing_public(fixture->identity), err);

	commit_free(&parsed);
	return rc;
}

static void check_round_trip(const struct fixture *fixture, const struct commit *commit)
{
	struct qosid_buf raw = {0}, again = {0};
	struct qosid_errbuf err = {0};
	struct commit parsed;

	assert_int_equal(commit_format(&raw, commit, fixture->identity, &err), 0);
	assert_int_equal(
	    commit_verify(&parsed, raw.data, raw.len, identity_signing_public(fixture->identity), &err), 0);
	assert_true(git_oid_equal(&parsed.tree, &commit->tree));
	assert_int_equal(parsed.has_parent, commit->has_parent);
	assert_true(git_oid_equal(&parsed.parent, &commit->parent));
	assert_string_equal(parsed.office, commit->office);
	assert_string_equal(parsed.space, commit->space);
	assert_string_equal(parsed.subject, commit->subject);
	assert_int_equal(parsed.time, commit->time);
	assert_int_equal(parsed.sequence, commit->sequence);
	assert_int_equal(parsed.epoch, commit->epoch);
	assert_int_equal(parsed.roster_count, commit->roster_count);
	assert_memory_equal(parsed.content, commit->content, DIGEST_BYTES);
	assert_memory_equal(parsed.previous, commit->previous, DIGEST_BYTES);
	assert_string_equal(parsed.file_digest, commit->file_digest);
	assert_int_equal(parsed.file_part, commit->file_part);
	assert_int_equal(parsed.file_parts, commit->file_parts);
	assert_int_equal(parsed.seen_count, commit->seen_count);
	for (size_t i = 0; i < commit->seen_count; i++) {
		assert_string_equal(parsed.seen[i].office, commit->seen[i].office);
		assert_int_equal(parsed.seen[i].sequence, commit->seen[i].sequence);
		assert_true(git_oid_equal(&parsed.seen[i].commit, &commit->seen[i].commit));
	}
	assert_int_equal(commit_format(&again, &parsed, fixture->identity, &err), 0);
	assert_int_equal(again.len, raw.len);
	assert_memory_equal(again.data, raw.data, raw.len);
	commit_free(&parsed);
	qosid_buf_free(&raw);
	qosid_buf_free(&again);
}

static void test_round_trip(void **state)
{
	struct commit commit;

	fixture_commit(&commit, 1);
	check_round_trip(*state, &commit);
	commit.epoch = 0;
	commit.roster_count = 0;
	memset(commit.roster, 0, sizeof(commit.roster));
	commit.time = 0;
	check_round_trip(*state, &commit);
	commit.time = INT64_C(253402300799);
	free(commit.subject);
	commit.subject = strdup("душанбе: 12 тағйирот 🙂");
	check_round_trip(*state, &commit);
	commit_free(&commit);
	full_commit(&commit);
	check_round_trip(*state, &commit);
	commit.sequence = INT64_MAX;
	check_round_trip(*state, &commit);
	commit_free(&commit);
}

/* The exact bytes before the signature: the format is normative. */
static void test_exact_text(void **state)
{
	static const char expected[] =
	    "tree 1111111111111111111111111111111111111111\n"
	    "parent 4444444444444444444444444444444444444444\n"
	    "author khujand <khujand@00112233.qosid> 1735689607 +0000\n"
	    "committer khujand <khujand@00112233.qosid> 1735689607 +0000\n"
	    "\n"
	    "khujand: 12 changes in 9 documents\n"
	    "\n"
	    "Qosid-Format: 1\n"
	    "Qosid-Space: 00112233445566778899aabbccddeeff\n"
	    "Qosid-Office: khujand\n"
	    "Qosid-Sequence: 7\n"
	    "Qosid-Epoch: 1\n"
	    "Qosid-Roster: blake2b-256:2222222222222222222222222222222222222222222222222222222222222222\n"
	    "Qosid-Content: blake2b-256:3333333333333333333333333333333333333333333333333333333333333333\n"
	    "Qosid-File: blake2b-256:abcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd\n"
	    "Qosid-Part: 2/3\n"
	    "Qosid-Previous: blake2b-256:5555555555555555555555555555555555555555555555555555555555555555\n"
	    "Qosid-Seen: dushanbe@3:0303030303030303030303030303030303030303\n"
	    "Qosid-Seen: london@4:0404040404040404040404040404040404040404\n";
	const struct fixture *fixture = *state;
	struct qosid_buf raw = {0}, signature = {0}, payload = {0};
	struct qosid_errbuf err = {0};
	struct commit commit, parsed;

	full_commit(&commit);
	assert_int_equal(commit_format(&raw, &commit, fixture->identity, &err), 0);
	assert_int_equal(commit_parse(&parsed, raw.data, raw.len, &signature, &payload, &err), 0);
	assert_string_equal((const char *)payload.data, expected);
	assert_ptr_equal(
	    strstr((const char *)signature.data, "-----BEGIN SSH SIGNATURE-----\n"), (const char *)signature.data);
	assert_non_null(strstr((const char *)raw.data, "\ngpgsig -----BEGIN SSH SIGNATURE-----\n "));
	assert_non_null(strstr((const char *)raw.data, "\n -----END SSH SIGNATURE-----\n\nkhujand: "));
	commit_free(&commit);
	commit_free(&parsed);
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&payload);
}

static void check_unfit(const struct fixture *fixture, struct commit *commit, int code)
{
	struct qosid_buf raw = {0};
	struct qosid_errbuf err = {0};

	assert_int_equal(commit_format(&raw, commit, fixture->identity, &err), code);
	assert_int_equal(err.code, code);
	assert_int_equal(raw.len, 0);
	qosid_buf_free(&raw);
	commit_free(commit);
	full_commit(commit);
}

static void set_subject(struct commit *commit, const char *subject)
{
	free(commit->subject);
	commit->subject = strdup(subject);
	assert_non_null(commit->subject);
}

static void test_unfit_fields(void **state)
{
	static const char *const subjects[] = {"", " a", "a ", "a\nb", "a\tb", "a\x7f", "a\xc2\x85z", "\xff",
	    "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"};
	char name[LIMIT_SLUG_BYTES + 1];
	struct commit commit;

	full_commit(&commit);
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		set_subject(&commit, subjects[i]);
		check_unfit(*state, &commit, QOSID_ERR_INVALID);
	}
	set_subject(&commit, "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
			     "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
			     "12345678901234567890123456789012345678901");
	check_unfit(*state, &commit, QOSID_ERR_LIMIT);
	commit.time = -1;
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.time = INT64_C(253402300800);
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.sequence = 1;
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.has_parent = false;
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.epoch = -1;
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.space[31] = '\0';
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.space[31] = 'F';
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.office[0] = 'K';
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.file_part = 4;
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.file_digest[0] = '\0';
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	add_seen(&commit, "london", 5);
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	commit.seen[0].sequence = 0;
	check_unfit(*state, &commit, QOSID_ERR_INVALID);
	memset(name, 'x', LIMIT_SLUG_BYTES);
	name[LIMIT_SLUG_BYTES] = '\0';
	for (int i = 0; i < 600; i++) { /* a message of more than 64 KiB */
		char digits[16];

		(void)snprintf(digits, sizeof(digits), "%04d", i);
		memcpy(name + LIMIT_SLUG_BYTES - 4, digits, 4);
		add_seen(&commit, name, 1);
	}
	check_unfit(*state, &commit, QOSID_ERR_LIMIT);
	commit_free(&commit);
}

/* Put a good signature over payload where git has it: behind the last header. */
static void sign(
    const struct identity *identity, const char *name_space, const struct qosid_buf *payload, struct qosid_buf *raw)
{
	const uint8_t *blank = payload->len == 0 ? NULL : memmem(payload->data, payload->len, "\n\n", 2);
	size_t headers = blank == NULL ? payload->len : (size_t)(blank - payload->data) + 1;
	struct qosid_buf armor = {0};

	assert_int_equal(sshsig_sign(&armor, identity, name_space, payload->data, payload->len, NULL), 0);
	assert_int_equal(qosid_buf_append(raw, payload->data, headers, NULL), 0);
	assert_int_equal(qosid_buf_append_text(raw, "gpgsig", NULL), 0);
	for (const char *line = (const char *)armor.data; *line != '\0'; line = strchr(line, '\n') + 1)
		assert_int_equal(qosid_buf_append_format(raw, NULL, " %.*s\n", (int)strcspn(line, "\n"), line), 0);
	assert_int_equal(qosid_buf_append(raw, payload->data + headers, payload->len - headers, NULL), 0);
	qosid_buf_free(&armor);
}

static void base_payload(const struct fixture *fixture, struct qosid_buf *payload, struct qosid_buf *raw)
{
	struct qosid_buf signature = {0};
	struct commit commit, parsed;

	full_commit(&commit);
	assert_int_equal(commit_format(raw, &commit, fixture->identity, NULL), 0);
	assert_int_equal(commit_parse(&parsed, raw->data, raw->len, &signature, payload, NULL), 0);
	commit_free(&commit);
	commit_free(&parsed);
	qosid_buf_free(&signature);
}

/* Replace find by replacement in the payload, sign that well, and see it refused all the same. */
static void check_refused(const struct fixture *fixture, const char *find, const char *replacement, size_t len)
{
	struct qosid_buf payload = {0}, raw = {0}, changed = {0}, signed_raw = {0};
	struct qosid_errbuf err = {0};
	const char *at;
	size_t before;

	base_payload(fixture, &payload, &raw);
	at = strstr((const char *)payload.data, find);
	assert_non_null(at);
	before = (size_t)(at - (const char *)payload.data);
	assert_int_equal(qosid_buf_append(&changed, payload.data, before, NULL), 0);
	assert_int_equal(qosid_buf_append(&changed, replacement, len, NULL), 0);
	assert_int_equal(qosid_buf_append_text(&changed, at + strlen(find), NULL), 0);
	sign(fixture->identity, SSHSIG_NAMESPACE_GIT, &changed, &signed_raw);
	if (verify(fixture, &signed_raw, &err) != QOSID_ERR_INVALID)
		fail_msg("\"%s\" for \"%s\": %d %s", replacement, find, err.code, err.what);
	assert_true(err.what[0] != '\0');
	qosid_buf_free(&payload);
	qosid_buf_free(&raw);
	qosid_buf_free(&changed);
	qosid_buf_free(&signed_raw);
}

static void test_strict(void **state)
{
	static const char *const changes[][2] = {
	    {"tree 1", "tree g"},
	    {"tree 1", "tree A"},
	    {"parent 44444", "parent 4444"},
	    {"parent 4", "parent 4444444444444444444444444444444444444444\nparent 4"},
	    {"parent 4444444444444444444444444444444444444444\n", ""},
	    {"author khujand", "author  khujand"},
	    {"author khujand", "author london"},
	    {"+0000\ncommitter", "+0500\ncommitter"},
	    {"1735689607 +0000\n\n", "1735689608 +0000\n\n"},
	    {"author khujand <khujand@00112233.qosid>", "author khujand <khujand@00112234.qosid>"},
	    {"+0000\n\n", "+0000\nencoding ISO-8859-1\n\n"},
	    {"+0000\n\n", "+0000\nmergetag object 1111111111111111111111111111111111111111\n\n"},
	    {"+0000\n\n", "+0000\nHG:extra x\n\n"},
	    {"+0000\n\n", "+0000\ngpgsig-sha256 x\n\n"},
	    {"committer khujand", "gpgsig x\ncommitter khujand"},
	    {"+0000\n\n", "+0000\n \n\n"},
	    {"documents\n\n", "documents\n"},
	    {"documents\n\n", "documents\n\n\n"},
	    {"documents\n\n", "documents\nmore\n\n"},
	    {"documents\n\n", "documents\r\n\n"},
	    {"khujand: 12 changes in 9 documents", ""},
	    {"Format: 1", "Format: 2"},
	    {"Format: 1", "Format: 01"},
	    {"Format: 1", "Format:1"},
	    {"Qosid-Space: 0", "Qosid-Space: 00"},
	    {"Qosid-Office: khujand", "Qosid-Office: london"},
	    {"Qosid-Office: khujand", "Qosid-Office: "},
	    {"Qosid-Office: khujand\n", ""},
	    {"Sequence: 7", "Sequence: 07"},
	    {"Sequence: 7", "Sequence: +7"},
	    {"Sequence: 7", "Sequence: -7"},
	    {"Sequence: 7", "Sequence: 0"},
	    {"Sequence: 7", "Sequence: 1"},
	    {"Sequence: 7", "Sequence: 9223372036854775808"},
	    {"Sequence: 7", "Sequence: 7 "},
	    {"Epoch: 1", "Epoch: 0"},
	    {"Qosid-Epoch: 1\n", "Qosid-Epoch: 1\nQosid-Epoch: 1\n"},
	    {"Roster: blake2b-256:22", "Roster: blake2b-256:2222"},
	    {"Content: blake2b-256:33", "Content: blake2b-256:3G"},
	    {"Content: blake2b-256", "Content: BLAKE2B-256"},
	    {"Qosid-File: blake2b-256:ab", "Qosid-File: blake2b-256:AB"},
	    {"Qosid-Part: 2/3\n", ""},
	    {"Part: 2/3", "Part: 4/3"},
	    {"Part: 2/3", "Part: 0/3"},
	    {"Part: 2/3", "Part: 2"},
	    {"Part: 2/3", "Part: 2/3/4"},
	    {"Qosid-Seen: dushanbe", "Qosid-Seen: zushanbe"},
	    {"Qosid-Seen: dushanbe", "Qosid-Seen: london"},
	    {"dushanbe@3:", "dushanbe@0:"},
	    {"dushanbe@3:", "dushanbe@3"},
	    {"@4:0404040404040404040404040404040404040404\n", "@4:0404040404040404040404040404040404040404"},
	    {"@4:0404040404040404040404040404040404040404\n", "@4:0404040404040404040404040404040404040404\n\n"},
	    {"@4:0404040404040404040404040404040404040404\n",
		"@4:0404040404040404040404040404040404040404\nSigned-off-by: x\n"},
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		check_refused(*state, changes[i][0], changes[i][1], strlen(changes[i][1]));
	check_refused(*state, "12 changes", "12\0changes", 10);
	check_refused(*state, "Office: khujand", "Office: khujand\0", 16);
	check_refused(*state, "tree 1", "tree \0", 6);
	check_refused(*state, "12 changes", "12\x1b[2Jchanges", 13);
	check_refused(*state, "12 changes", "12\xff changes", 11);
}

static void test_limits(void **state)
{
	struct qosid_buf payload = {0}, raw = {0}, large = {0};
	struct qosid_errbuf err = {0};

	base_payload(*state, &payload, &raw);
	while (payload.len <= LIMIT_MESSAGE_BYTES + 1000)
		assert_int_equal(qosid_buf_append_text(&payload, "Qosid-More: x\n", &err), 0);
	sign(((struct fixture *)*state)->identity, SSHSIG_NAMESPACE_GIT, &payload, &large);
	assert_int_equal(verify(*state, &large, &err), QOSID_ERR_LIMIT);
	while (large.len <= LIMIT_COMMIT_BYTES)
		assert_int_equal(qosid_buf_append_byte(&large, '\n', &err), 0);
	assert_int_equal(verify(*state, &large, &err), QOSID_ERR_LIMIT);
	qosid_buf_reset(&large);
	assert_int_equal(verify(*state, &large, &err), QOSID_ERR_INVALID);
	for (size_t len = 0; len < raw.len; len++) {
		struct qosid_buf cut = {0};

		assert_int_equal(qosid_buf_append(&cut, raw.data, len, &err), 0);
		assert_true(verify(*state, &cut, &err) != 0);
		qosid_buf_free(&cut);
	}
	assert_int_equal(verify(*state, &raw, &err), 0);
	qosid_buf_free(&payload);
	qosid_buf_free(&raw);
	qosid_buf_free(&large);
}

static void test_wrong_signatures(void **state)
{
	const struct fixture *fixture = *state;
	struct qosid_buf payload = {0}, raw = {0}, wrong = {0};
	struct qosid_errbuf err = {0};
	struct commit parsed;

	base_payload(fixture, &payload, &raw);
	assert_int_equal(commit_verify(&parsed, raw.data, raw.len, identity_signing_public(fixture->other), &err),
	    QOSID_ERR_REFUSED);
	assert_null(parsed.subject);
	sign(fixture->identity, SSHSIG_NAMESPACE_FILE, &payload, &wrong);
	assert_true(verify(fixture, &wrong, &err) != 0);
	qosid_buf_reset(&wrong);
	sign(fixture->other, SSHSIG_NAMESPACE_GIT, &payload, &wrong);
	assert_int_equal(verify(fixture, &wrong, &err), QOSID_ERR_REFUSED);
	/* Unsigned, and signed twice. */
	assert_int_equal(verify(fixture, &payload, &err), QOSID_ERR_INVALID);
	qosid_buf_reset(&wrong);
	sign(fixture->identity, SSHSIG_NAMESPACE_GIT, &raw, &wrong);
	assert_int_equal(verify(fixture, &wrong, &err), QOSID_ERR_INVALID);
	qosid_buf_free(&payload);
	qosid_buf_free(&raw);
	qosid_buf_free(&wrong);
}

/* ---- beside stock git ---- */

static uint32_t pick(uint64_t *seed, size_t below)
{
	uint32_t value;

	fixture_random(seed, &value, sizeof(value));
	return (uint32_t)(value % below);
}

/* Where a line starts, by its number from 0, or the end. */
static size_t line_start(const struct qosid_buf *text, size_t number)
{
	size_t at = 0;

	while (number-- > 0 && at < text->len) {
		const uint8_t *newline = memchr(text->data + at, '\n', text->len - at);

		at = newline == NULL ? text->len : (size_t)(newline - text->data) + 1;
	}
	return at;
}

static void append_line(struct qosid_buf *out, const struct qosid_buf *text, size_t number)
{
	size_t start = line_start(text, number), end = line_start(text, number + 1);

	assert_int_equal(qosid_buf_append(out, text->data + start, end - start, NULL), 0);
}

/* Swap two lines, drop one, or repeat one. */
static void mutate_lines(uint64_t *seed, const struct qosid_buf *text, struct qosid_buf *out)
{
	size_t lines = 0, first, second, kind = pick(seed, 3);

	while (line_start(text, lines) < text->len)
		lines++;
	first = pick(seed, lines);
	second = pick(seed, lines);
	for (size_t i = 0; i < lines; i++) {
		if (kind == 0)
			append_line(out, text, i == first ? second : i == second ? first : i);
		else if (kind == 1 && i != first)
			append_line(out, text, i);
		else if (kind == 2)
			append_line(out, text, i);
		if (kind == 2 && i == first)
			append_line(out, text, second);
	}
}

static void mutate(uint64_t *seed, const struct qosid_buf *text, struct qosid_buf *out)
{
	size_t at = pick(seed, text->len);
	uint8_t byte;

	switch (pick(seed, 5)) {
	case 0: /* flip a bit */
		assert_int_equal(qosid_buf_append(out, text->data, text->len, NULL), 0);
		out->data[at] ^= (uint8_t)(1u << pick(seed, 8));
		break;
	case 1: /* insert a byte, mostly one that means something */
		byte = (uint8_t) " \n\0\t:0a<>@\xc3\xa9"[pick(seed, 12)];
		assert_int_equal(qosid_buf_append(out, text->data, at, NULL), 0);
		assert_int_equal(qosid_buf_append(out, &byte, 1, NULL), 0);
		assert_int_equal(qosid_buf_append(out, text->data + at, text->len - at, NULL), 0);
		break;
	case 2: /* delete one */
		assert_int_equal(qosid_buf_append(out, text->data, at, NULL), 0);
		assert_int_equal(qosid_buf_append(out, text->data + at + 1, text->len - at - 1, NULL), 0);
		break;
	case 3: /* another digit or letter */
		assert_int_equal(qosid_buf_append(out, text->data, text->len, NULL), 0);
		out->data[at] = (uint8_t) "0123456789abcdef"[pick(seed, 16)];
		break;
	default:
		mutate_lines(seed, text, out);
	}
}

/* Keep what we accept for git to judge. */
static size_t keep_accepted(
    const struct fixture *fixture, struct repo *repo, const struct qosid_buf *raw, struct qosid_buf *ids)
{
	char hex[GIT_OID_HEXSZ + 1];
	git_oid id;

	if (verify(fixture, raw, NULL) != 0)
		return 0;
	assert_int_equal(repo_write(repo, GIT_OBJECT_COMMIT, raw->data, raw->len, &id, NULL), 0);
	git_oid_tostr(hex, sizeof(hex), &id);
	assert_int_equal(qosid_buf_append_format(ids, NULL, "%s\n", hex), 0);
	return 1;
}

static struct repo *judge_open(const char *scratch, const struct fixture *fixture)
{
	struct qosid_buf line = {0};
	struct repo *repo;
	char *path = fixture_path(scratch, "judge");

	assert_int_equal(repo_open(&repo, path, true, NULL), 0);
	assert_int_equal(
	    sshsig_format_allowed_signer(&line, "khujand", identity_signing_public(fixture->identity), NULL), 0);
	assert_int_equal(fixture_shell("cd '%s' && printf '%%s' '%s' >allowed_signers && git config gpg.format ssh && "
				       "git config gpg.ssh.allowedSignersFile '%s/allowed_signers'",
			     path, (const char *)line.data, path),
	    0);
	qosid_buf_free(&line);
	free(path);
	return repo;
}

static void test_stock_git(void **state)
{
	const struct fixture *fixture = *state;
	char *scratch = fixture_scratch();
	struct repo *repo = judge_open(scratch, fixture);
	git_oid tip = {{0}};
	int64_t sequence = 0;
	char *text;

	fixture_grow(repo, fixture->identity, 5, 100, &tip, &sequence);
	assert_int_equal(repo_update_ref(repo, "refs/heads/office/khujand", NULL, &tip, NULL), 0);
	assert_int_equal(fixture_shell("cd '%s' && git fsck --strict && "
				       "git verify-commit $(git rev-list office/khujand)",
			     repo_path(repo)),
	    0);
	text = fixture_output("cd '%s' && git log -1 --format='%%G?|%%GS|%%an|%%ae|%%at|%%s|"
			      "%%(trailers:key=Qosid-Sequence,valueonly,separator=;)' office/khujand",
	    repo_path(repo));
	assert_string_equal(
	    text, "G|khujand|khujand|khujand@00112233.qosid|1735689605|khujand: 12 changes in 9 documents|5");
	free(text);
	repo_free(repo);
	fixture_remove(scratch);
}

static void test_differential(void **state)
{
	const struct fixture *fixture = *state;
	char *scratch = fixture_scratch();
	struct repo *repo = judge_open(scratch, fixture);
	struct qosid_buf payload = {0}, raw = {0}, mutant = {0}, again = {0}, ids = {0};
	size_t accepted = 0;
	uint64_t seed = 20250101;

	base_payload(fixture, &payload, &raw);
	for (int i = 0; i < 600; i++) { /* the signed bytes changed */
		qosid_buf_reset(&mutant);
		mutate(&seed, &raw, &mutant);
		accepted += keep_accepted(fixture, repo, &mutant, &ids);
	}
	for (int i = 0; i < 600; i++) { /* changed, then signed */
		qosid_buf_reset(&mutant);
		qosid_buf_reset(&again);
		mutate(&seed, &payload, &mutant);
		if (i % 2 == 1) {
			mutate(&seed, &mutant, &again);
			qosid_buf_reset(&mutant);
			assert_int_equal(qosid_buf_append(&mutant, again.data, again.len, NULL), 0);
			qosid_buf_reset(&again);
		}
		sign(fixture->identity, SSHSIG_NAMESPACE_GIT, &mutant, &again);
		accepted += keep_accepted(fixture, repo, &again, &ids);
	}
	assert_true(accepted > 20);
	assert_int_equal(repo_flush(repo, NULL), 0);
	assert_int_equal(fixture_shell("cd '%s' && printf '%%s' '%s' | sort -u | xargs git verify-commit",
			     repo_path(repo), (const char *)ids.data),
	    0);
	qosid_buf_free(&payload);
	qosid_buf_free(&raw);
	qosid_buf_free(&mutant);
	qosid_buf_free(&again);
	qosid_buf_free(&ids);
	repo_free(repo);
	fixture_remove(scratch);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_round_trip), TEST(test_exact_text), TEST(test_unfit_fields),
	    TEST(test_strict), TEST(test_limits), TEST(test_wrong_signatures), TEST(test_stock_git),
	    TEST(test_differential)};

	if (sodium_init() < 0)
		return 1;
	(void)git_libgit2_init();
	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
