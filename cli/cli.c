/*
 * Small things that several commands need: see cli.h.
 */
#include "cli/cli.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/passphrase.h"
#include "cli/utf8.h"

int cli_open_space(struct cli *cli, struct qosid_errbuf *err)
{
	struct space_unlock unlock = {.ask = passphrase_ask, .context = cli};
	int code;

	code = space_open(&cli->space, ".", true, &unlock, err);
	if (code == QOSID_ERR_NOTFOUND)
		qosid_error_hint(err, "change into a space's folder, name it with -C DIR, or make one: qosid init");
	return code;
}

int cli_user(const char *given, const char **out, struct qosid_errbuf *err)
{
	const struct passwd *entry;
	const char *user = given;

	if (user == NULL)
		user = getenv("QOSID_USER");
	if (user == NULL || (given == NULL && user[0] == '\0')) {
		entry = getpwuid(geteuid());
		user = entry != NULL ? entry->pw_name : "";
	}
	if (!utf8_valid(user, strlen(user), NULL))
		return qosid_error(err, QOSID_ERR_USAGE, "the user's name is not valid UTF-8");
	*out = user;
	return 0;
}

int64_t cli_now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int cli_check_id(const char *id, struct qosid_errbuf *err)
{
	int code = document_check_id(id, strlen(id), err);

	if (code == 0 && strncmp(id, "_local/", 7) == 0)
		code = qosid_error(err, QOSID_ERR_INVALID,
		    "%s is a local document, which is no record and never leaves a replica", id);
	return code;
}

int cli_parse_revision(struct revision *out, const char *text, struct qosid_errbuf *err)
{
	int code = revision_parse(out, text, strlen(text), err);

	if (code != 0) {
		code = qosid_error(err, QOSID_ERR_USAGE, "\"%s\" is not a revision", text);
		qosid_error_hint(err, "a revision looks like 2-7f0c..., as the member _rev of the document shows it");
	}
	return code;
}

static int append_stub(
    struct json_slice name, struct json_slice stored, bool first, struct qosid_buf *out, struct qosid_errbuf *err)
{
	size_t position = 0;
	struct json_slice member, value;
	int code;

	code = qosid_buf_append_format(out, err, "%s%.*s:{\"stub\":true", first ? "" : ",", (int)name.len, name.text);
	while (code == 0 && json_next(stored, &position, &member, &value))
		code = qosid_buf_append_format(
		    out, err, ",%.*s:%.*s", (int)member.len, member.text, (int)value.len, value.text);
	if (code == 0)
		code = qosid_buf_append_byte(out, '}', err);
	return code;
}

int cli_stub_attachments(struct json_slice stored, struct qosid_buf *out, struct qosid_errbuf *err)
{
	size_t position = 0;
	struct json_slice name, value;
	bool first = true;
	int code;

	if (stored.len == 0)
		return 0;
	code = qosid_buf_append_byte(out, '{', err);
	while (code == 0 && json_next(stored, &position, &name, &value)) {
		code = append_stub(name, value, first, out, err);
		first = false;
	}
	if (code == 0)
		code = qosid_buf_append_byte(out, '}', err);
	return code;
}
