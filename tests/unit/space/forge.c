/*
 * See forge.h.
 */
#include "forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "crypto/age.h"
#include "crypto/digest.h"
#include "crypto/sshsig.h"

#define ROGUE_REF "refs/heads/office/khujand"

static void git_must(int status)
{
	if (status < 0)
		fail_msg("libgit2: %s", git_error_last() != NULL ? git_error_last()->message : "no reason");
}

/* ---- the stage ---- */

static void read_tip(struct stage *stage, git_oid *out)
{
	git_must(git_reference_name_to_id(out, stage->remote, ROGUE_REF));
}

void stage_open(struct stage *stage, struct offices *offices)
{
	*stage = (struct stage){.offices = offices};
	stage->rogue = offices_add(offices, "khujand", "writer,reader");
	stage->honest = offices_add(offices, "bokhtar", "writer,reader");
	stage->victim = offices_add(offices, "london", "writer,reader");
	(void)meet(offices->steward, "origin");
	put(stage->rogue, "good-1", "{}");
	(void)meet(stage->rogue, "origin");
	git_must(git_repository_open(&stage->remote, offices_path(offices, "remote.git")));
	read_tip(stage, &stage->commits[1]);
	(void)meet(stage->victim, "origin");
	assert_non_null(get(stage->victim, "good-1"));
	put(stage->rogue, "good-2", "{}");
	(void)meet(stage->rogue, "origin");
	read_tip(stage, &stage->commits[2]);
	put(stage->honest, "honest", "{}");
	(void)meet(stage->honest, "origin");
}

void stage_close(struct stage *stage)
{
	git_repository_free(stage->remote);
	space_close(stage->rogue);
	space_close(stage->honest);
	space_close(stage->victim);
}

struct wanted {
	const char *name;
	const char *causes;
	int64_t sequence;
	size_t count;
};

static bool is_one_of(const char *word, const char *words)
{
	size_t len = strlen(word);

	for (const char *at = words; (at = strstr(at, word)) != NULL; at += len) {
		if ((at == words || at[-1] == '|') && (at[len] == '\0' || at[len] == '|'))
			return true;
	}
	return false;
}

static int check_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct wanted *wanted = context;

	(void)err;
	if (wanted->causes == NULL)
		fail_msg("%s: found %s %s: %s", wanted->name, finding->log, finding->cause, finding->detail);
	if (strncmp(finding->log, "office/khujand", 14) != 0 || !is_one_of(finding->cause, wanted->causes) ||
	    finding->sequence != wanted->sequence || !finding->stops || finding->detail[0] == '\0' ||
	    strlen(finding->evidence) != GIT_OID_HEXSZ)
		fail_msg("%s: found %s at %lld, %s%s: %s (evidence \"%s\")", wanted->name, finding->log,
		    (long long)finding->sequence, finding->cause, finding->stops ? "" : " as a warning",
		    finding->detail, finding->evidence);
	wanted->count++;
	return 0;
}

static int print_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	fail_msg("%s: what was refused broke what is here: %s %s: %s", (const char *)context, finding->log,
	    finding->cause, finding->detail);
	return 0;
}

static void assert_verifies(struct space *space, const char *name)
{
	struct qosid_errbuf err = {0};
	char text[128];
	struct exchange_proof proof;

	(void)snprintf(text, sizeof(text), "%s", name);
	must(space_verify(space, true, NULL, print_finding, text, &proof, &err), &err);
}

static int64_t position_of(struct space *space, const char *log)
{
	struct replica_position position = {0};
	struct qosid_errbuf err = {0};

	must(replica_read_position(space_replica(space), log, &position, &err), &err);
	return position.sequence;
}

void stage_assert_refused(struct stage *stage, int64_t applied, const char *causes, const char *name)
{
	struct wanted wanted = {.name = name, .causes = causes, .sequence = applied + 1};
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	struct replica_info info;

	if (space_exchange(stage->victim, "origin", NULL, &report, &err) != 0)
		fail_msg("%s: the exchange failed: %s: %s", name, err.where, err.what);
	must(replica_visit_findings(space_replica(stage->victim), check_finding, &wanted, &err), &err);
	if (causes != NULL ? wanted.count != 1 || report.findings == 0 : report.waiting != 1)
		fail_msg("%s: %zu findings, %zu logs wait", name, wanted.count, report.waiting);
	if (get(stage->victim, "honest") == NULL)
		fail_msg("%s: another log has stopped too", name);
	if (get(stage->victim, "evil") != NULL)
		fail_msg("%s: a part was applied", name);
	if (position_of(stage->victim, "office/khujand") != applied)
		fail_msg("%s: the log stands at %lld, not %lld", name,
		    (long long)position_of(stage->victim, "office/khujand"), (long long)applied);
	must(replica_read_info(space_replica(stage->victim), &info, &err), &err);
	if (info.documents != applied + 1 || info.deleted != 0)
		fail_msg("%s: %lld documents", name, (long long)info.documents);
	if (applied == 2)
		assert_equal_replicas(stage->victim, stage->honest);
	assert_verifies(stage->victim, name);
}

void stage_assert_healed(struct stage *stage, const char *name)
{
	struct wanted none = {.name = name};
	struct qosid_errbuf err = {0};

	put(stage->rogue, "good-3", "{}");
	(void)meet(stage->rogue, "origin");
	(void)meet(stage->victim, "origin");
	must(replica_visit_findings(space_replica(stage->victim), check_finding, &none, &err), &err);
	if (get(stage->victim, "good-2") == NULL || get(stage->victim, "good-3") == NULL)
		fail_msg("%s: the log does not go on", name);
	if (position_of(stage->victim, "office/khujand") != 3)
		fail_msg("%s: the log stands at %lld", name, (long long)position_of(stage->victim, "office/khujand"));
	(void)meet(stage->rogue, "origin");
	assert_equal_replicas(stage->victim, stage->rogue);
	assert_verifies(stage->victim, name);
}

void stage_set_ref(struct stage *stage, const char *ref, const git_oid *id)
{
	git_reference *made = NULL;

	git_must(git_reference_create(&made, stage->remote, ref, id, 1, NULL));
	git_reference_free(made);
}

void stage_write(struct stage *stage, git_object_t type, const void *data, size_t len, git_oid *id)
{
	git_odb *odb = NULL;

	git_must(git_repository_odb(&odb, stage->remote));
	git_must(git_odb_write(id, odb, data, len, type));
	git_odb_free(odb);
}

/* ---- payloads ---- */

void forge_format_header(struct stage *stage, struct qosid_buf *out, const char *office, int64_t sequence)
{
	assert_int_equal(qosid_buf_append_format(out, NULL,
			     "{\"qosid\":\"change set\",\"format\":1,\"space\":\"%s\",\"office\":\"%s\","
			     "\"sequence\":%lld}\n",
			     space_id(stage->victim), office, (long long)sequence),
	    0);
}

void forge_format_line(struct qosid_buf *out, const char *id)
{
	assert_int_equal(
	    qosid_buf_append_format(out, NULL,
		"{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"%s\",\"_rev\":\"1-"
		"00000000000000000000000000000001\",\"_revisions\":{\"start\":1,\"ids\":["
		"\"00000000000000000000000000000001\"]},\"n\":1}}\n",
		id),
	    0);
}

void forge_seal(struct stage *stage, struct qosid_buf *out, const void *plain, size_t len, unsigned seal)
{
	const char *recipient = roster_epoch_recipient(space_roster(stage->rogue), -1, 1);
	struct qosid_buf packed = {0};

	if (seal & FORGE_ZSTD) {
		ZSTD_CCtx *zstd = ZSTD_createCCtx();

		assert_non_null(zstd);
		assert_int_equal(qosid_buf_reserve(&packed, ZSTD_compressBound(len), NULL), 0);
		(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
		packed.len = ZSTD_compress2(zstd, packed.data, packed.cap, plain, len);
		assert_false(ZSTD_isError(packed.len));
		(void)ZSTD_freeCCtx(zstd);
	} else
		assert_int_equal(qosid_buf_append(&packed, plain, len, NULL), 0);
	qosid_buf_reset(out);
	if (seal & FORGE_AGE)
		assert_int_equal(age_encrypt_buf(out, &recipient, 1, packed.data, packed.len, NULL), 0);
	else
		assert_int_equal(qosid_buf_append(out, packed.data, packed.len, NULL), 0);
	qosid_buf_free(&packed);
}

/* ---- commits ---- */

void forge_replace(struct forgery *forgery, const char *prefix, const char *line)
{
	char *text = (char *)forgery->text.data, *at = text, *end;
	struct qosid_buf changed = {0};

	while (strncmp(at, prefix, strlen(prefix)) != 0) {
		at = strchr(at, '\n');
		assert_non_null(at);
		at++;
	}
	end = strchr(at, '\n') + 1;
	assert_int_equal(qosid_buf_append(&changed, text, (size_t)(at - text), NULL), 0);
	if (line != NULL)
		assert_int_equal(qosid_buf_append_format(&changed, NULL, "%s\n", line), 0);
	assert_int_equal(qosid_buf_append_text(&changed, end, NULL), 0);
	qosid_buf_free(&forgery->text);
	forgery->text = changed;
}

void forge_add_entry(struct qosid_buf *raw, const char *mode, const char *name, const git_oid *id)
{
	assert_int_equal(qosid_buf_append_format(raw, NULL, "%s %s", mode, name), 0);
	assert_int_equal(qosid_buf_append_byte(raw, 0, NULL), 0);
	assert_int_equal(qosid_buf_append(raw, id->id, GIT_OID_RAWSZ, NULL), 0);
}

void forge_set_tree(struct stage *stage, struct forgery *forgery, const struct qosid_buf *raw)
{
	char line[64] = "tree ";

	stage_write(stage, GIT_OBJECT_TREE, raw->data, raw->len, &forgery->tree);
	git_oid_tostr(line + 5, sizeof(line) - 5, &forgery->tree);
	if (forgery->text.len > 0)
		forge_replace(forgery, "tree ", line);
}

void forge_set_payload(struct stage *stage, struct forgery *forgery, const struct qosid_buf *payload)
{
	char line[32 + DIGEST_TEXT_SIZE] = "Qosid-Content: ";
	uint8_t digest[DIGEST_BYTES];
	struct qosid_buf tree = {0};

	stage_write(stage, GIT_OBJECT_BLOB, payload->data, payload->len, &forgery->payload_id);
	digest_compute(digest, payload->data, payload->len);
	digest_format(line + strlen(line), digest);
	if (forgery->text.len > 0)
		forge_replace(forgery, "Qosid-Content: ", line);
	forge_add_entry(&tree, "100644", "changes.age", &forgery->payload_id);
	forge_set_tree(stage, forgery, &tree);
	qosid_buf_free(&tree);
}

static void digest_of_commit(struct stage *stage, const git_oid *id, char out[DIGEST_TEXT_SIZE])
{
	git_odb_object *object = NULL;
	uint8_t digest[DIGEST_BYTES];
	git_odb *odb = NULL;

	git_must(git_repository_odb(&odb, stage->remote));
	git_must(git_odb_read(&object, odb, id));
	digest_compute(digest, git_odb_object_data(object), git_odb_object_size(object));
	digest_format(out, digest);
	git_odb_object_free(object);
	git_odb_free(odb);
}

void forge_begin(struct stage *stage, struct forgery *forgery)
{
	char tree[GIT_OID_HEXSZ + 1], parent[GIT_OID_HEXSZ + 1], previous[DIGEST_TEXT_SIZE], roster[DIGEST_TEXT_SIZE],
	    content[DIGEST_TEXT_SIZE], person[160];
	struct qosid_buf plain = {0};
	uint8_t digest[DIGEST_BYTES], heads[LIMIT_ROSTER_HEADS][DIGEST_BYTES];
	size_t count;

	*forgery = (struct forgery){0};
	forge_format_header(stage, &plain, "khujand", 3);
	forge_format_line(&plain, "evil");
	forge_seal(stage, &forgery->payload, plain.data, plain.len, FORGE_ZSTD | FORGE_AGE);
	forge_set_payload(stage, forgery, &forgery->payload);
	digest_compute(digest, forgery->payload.data, forgery->payload.len);
	digest_format(content, digest);
	assert_int_equal(roster_list_heads(space_roster(stage->rogue), -1, heads, &count, NULL), 0);
	assert_int_equal(count, 1);
	digest_format(roster, heads[0]);
	digest_of_commit(stage, &stage->commits[2], previous);
	git_oid_tostr(tree, sizeof(tree), &forgery->tree);
	git_oid_tostr(parent, sizeof(parent), &stage->commits[2]);
	(void)snprintf(person, sizeof(person), "khujand <khujand@%.8s.qosid> 1795500000 +0000", space_id(stage->rogue));
	assert_int_equal(qosid_buf_append_format(&forgery->text, NULL,
			     "tree %s\nparent %s\nauthor %s\ncommitter %s\n\nkhujand: 1 change\n\n"
			     "Qosid-Format: 1\nQosid-Space: %s\nQosid-Office: khujand\nQosid-Sequence: 3\n"
			     "Qosid-Epoch: 1\nQosid-Roster: %s\nQosid-Content: %s\nQosid-Previous: %s\n",
			     tree, parent, person, person, space_id(stage->rogue), roster, content, previous),
	    0);
	qosid_buf_free(&plain);
}

void forge_free(struct forgery *forgery)
{
	qosid_buf_free(&forgery->text);
	qosid_buf_free(&forgery->payload);
}

void forge_finish(
    struct stage *stage, struct forgery *forgery, const struct identity *signer, const char *ref, git_oid *id)
{
	char *text = (char *)forgery->text.data, *message = strstr(text, "\n\n");
	struct qosid_buf armor = {0}, raw = {0};
	git_oid made;

	assert_non_null(message);
	assert_int_equal(qosid_buf_append(&raw, text, (size_t)(message + 1 - text), NULL), 0);
	if (signer != NULL) {
		assert_int_equal(sshsig_sign(&armor, signer, SSHSIG_NAMESPACE_GIT, text, forgery->text.len, NULL), 0);
		assert_int_equal(qosid_buf_append_text(&raw, "gpgsig", NULL), 0);
		for (char *line = strtok((char *)armor.data, "\n"); line != NULL; line = strtok(NULL, "\n"))
			assert_int_equal(qosid_buf_append_format(&raw, NULL, " %s\n", line), 0);
	}
	assert_int_equal(qosid_buf_append_text(&raw, message + 1, NULL), 0);
	stage_write(stage, GIT_OBJECT_COMMIT, raw.data, raw.len, &made);
	stage_set_ref(stage, ref != NULL ? ref : ROGUE_REF, &made);
	if (id != NULL)
		*id = made;
	qosid_buf_free(&armor);
	qosid_buf_free(&raw);
}
