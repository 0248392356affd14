/*
 * Roles: the words and the bits, and which of them go together.
 */
#include <string.h>

#include "sync/roster/roster.h"

static const struct {
	const char *name;
	unsigned role;
} role_names[] = {
    /* in alphabetical order, which is the order they are written in */
    {"auditor", ROLE_AUDITOR},
    {"reader", ROLE_READER},
    {"steward", ROLE_STEWARD},
    {"witness", ROLE_WITNESS},
    {"writer", ROLE_WRITER},
};
#define ROLE_COUNT (sizeof(role_names) / sizeof(role_names[0]))

bool roster_is_entitled(unsigned roles)
{
	return (roles & (ROLE_STEWARD | ROLE_WRITER | ROLE_READER | ROLE_AUDITOR)) != 0;
}

static int check_roles(unsigned roles, struct qosid_errbuf *err)
{
	unsigned known = 0;

	for (size_t i = 0; i < ROLE_COUNT; i++)
		known |= role_names[i].role;
	if (roles == 0 || (roles & ~known) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "a member needs at least one known role");
	if ((roles & ROLE_WITNESS) != 0 && roster_is_entitled(roles))
		return qosid_error(
		    err, QOSID_ERR_INVALID, "a witness never reads records, so it cannot have another role");
	if ((roles & ROLE_AUDITOR) != 0 && (roles & ROLE_WRITER) != 0)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "an auditor never publishes, so it cannot be a writer as well");
	return 0;
}

static int parse_role(unsigned *roles, const char *word, size_t len, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		if (strlen(role_names[i].name) != len || memcmp(role_names[i].name, word, len) != 0)
			continue;
		if ((*roles & role_names[i].role) != 0)
			return qosid_error(
			    err, QOSID_ERR_INVALID, "the role \"%s\" is named twice", role_names[i].name);
		*roles |= role_names[i].role;
		return 0;
	}
	(void)qosid_error(err, QOSID_ERR_INVALID, "there is no role \"%.*s\"", (int)(len < 40 ? len : 40), word);
	qosid_error_hint(err, "The roles are steward, writer, reader, auditor and witness, separated by commas.");
	return QOSID_ERR_INVALID;
}

int roster_parse_roles(unsigned *out, const char *text, struct qosid_errbuf *err)
{
	unsigned roles = 0;
	const char *word = text;

	for (;;) {
		size_t len = strcspn(word, ",");
		int rc = parse_role(&roles, word, len, err);
		if (rc != 0)
			return rc;
		if (word[len] == '\0')
			break;
		word += len + 1;
	}
	int rc = check_roles(roles, err);
	if (rc == 0)
		*out = roles;
	return rc;
}

int roster_format_roles(unsigned roles, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const char *comma = "";
	int rc = check_roles(roles, err);

	for (size_t i = 0; i < ROLE_COUNT && rc == 0; i++) {
		if ((roles & role_names[i].role) == 0)
			continue;
		rc = qosid_buf_append_format(out, err, "%s%s", comma, role_names[i].name);
		comma = ",";
	}
	return rc;
}
