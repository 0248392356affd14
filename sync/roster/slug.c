/*
 * Office names: what a slug may look like, and what of it a person tells apart.
 */
#include <string.h>

#include "sync/roster/operation.h"
#include "sync/roster/roster.h"

static bool is_slug_character(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && !first);
}

int slug_check(const char *slug, struct qosid_errbuf *err)
{
	size_t len = strnlen(slug, LIMIT_SLUG_BYTES + 1);
	int rc = 0;

	if (len == 0) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the office name is empty");
	} else if (len > LIMIT_SLUG_BYTES) {
		rc = qosid_error(
		    err, QOSID_ERR_INVALID, "the office name is longer than %u characters", LIMIT_SLUG_BYTES);
	} else {
		for (size_t i = 0; i < len && rc == 0; i++) {
			if (!is_slug_character(slug[i], i == 0))
				rc = qosid_error(err, QOSID_ERR_INVALID,
				    "the office name has a wrong character at place %zu", i + 1);
		}
	}
	if (rc != 0)
		qosid_error_hint(
		    err, "Use lower-case English letters, digits and hyphens, and begin with a letter or digit.");
	return rc;
}

void slug_skeleton(char out[LIMIT_SLUG_BYTES + 1], const char *slug)
{
	size_t len = 0;

	for (const char *c = slug; *c != '\0' && len < LIMIT_SLUG_BYTES; c++) {
		if (*c == '-' && len > 0 && out[len - 1] == '-')
			continue;
		out[len++] = *c;
		if (*c == '0')
			out[len - 1] = 'o';
		else if (*c == '1' || *c == 'i')
			out[len - 1] = 'l';
	}
	if (len > 0 && out[len - 1] == '-')
		len--;
	out[len] = '\0';
}
