/*
 * By which roster state a change set is judged: the one it names, which may not be older than what its office had
 * known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "forge.h"

static const struct identity *key_of(struct space *space)
{
	const struct identity *identity = NULL;
	struct qosid_errbuf err = {0};

	must(space_identity(space, &identity, &err), &err);
	return identity;
}

/* The trailer that names the roster's operation number index. */
static void format_head(struct space *space, size_t index, char out[128])
{
	struct roster_entry entry;
	char digest[DIGEST_TEXT_SIZE];

	roster_read_entry(space_roster(space), index, &entry);
	digest_format(digest, entry.digest);
	(void)snprintf(out, 128, "Qosid-Roster: %s", digest);
}

/* Change set 3 of khujand with other Qosid-Roster trailers than an honest one has. */
static void try_heads(void **state, const char *heads, const char *causes, const char *name)
{
	struct forgery forgery;
	struct stage stage;
	char lines[300] = "", head[128];

	stage_open(&stage, *state);
	for (const char *at = heads; *at != '\0'; at++) {
		format_head(stage.rogue, (size_t)(*at - '0'), head);
		(void)snprintf(
		    lines + strlen(lines), sizeof(lines) - strlen(lines), "%s%s", at > heads ? "\n" : "", head);
	}
	if (heads[0] != '\0' && heads[1] != '\0' && strcmp(lines, strchr(lines, '\n') + 1) > 0) { /* sorted */
		char first[128];

		(void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(lines, "\n"), lines);
		(void)snprintf(lines, sizeof(lines), "%s\n%s", head, first);
	}
	forge_begin(&stage, &forgery);
	forge_replace(&forgery, "Qosid-Roster: ", lines);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	stage_assert_refused(&stage, 2, causes, name);
	stage_set_ref(&stage, "refs/heads/office/khujand", &stage.commits[2]);
	stage_assert_healed(&stage, name);
	forge_free(&forgery);
	stage_close(&stage);
	offices_teardown(state);
	offices_setup(state);
}

/* Operation 0 makes the space; 1, 2 and 3 admit khujand, bokhtar and london. khujand's change sets 1 and 2 name 3. */
static void test_heads(void **state)
{
	try_heads(state, "1", "roster", "dated back to a state in which it was a writer");
	try_heads(state, "2", "roster", "dated back by one operation");
	try_heads(state, "0", "roster", "a state in which it was no member");
	try_heads(state, "23", "roster", "two heads, one of which had seen the other");
}

/* After its removal: what names a state from before is applied and reported, what knows of it is refused. */
static void test_removed(void **state)
{
	struct qosid_errbuf err = {0};
	struct forgery forgery;
	struct stage stage;
	char head[128];

	stage_open(&stage, *state);
	(void)meet(stage.offices->steward, "origin"); /* so that it knows both change sets */
	must(space_remove(stage.offices->steward, "khujand", NULL, &err), &err);
	(void)meet(stage.offices->steward, "origin");
	forge_begin(&stage, &forgery);
	format_head(stage.offices->steward, 4, head);
	forge_replace(&forgery, "Qosid-Roster: ", head);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	stage_assert_refused(&stage, 2, "roster", "a removed office that knows");
	stage_set_ref(&stage, "refs/heads/office/khujand", &stage.commits[2]);
	forge_free(&forgery);
	put(stage.rogue, "offline", "{}");
	must(space_publish(stage.rogue, NULL, NULL, &err), &err); /* it has not met anybody since */
	(void)meet(stage.rogue, "origin");
	(void)meet(stage.victim, "origin");
	assert_non_null(get(stage.victim, "offline"));
	assert_int_equal(count_findings(stage.victim, "late"), 1);
	stage_close(&stage);
}

int main(void)
{
#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    STAGE_TEST(test_heads),
	    STAGE_TEST(test_removed),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
