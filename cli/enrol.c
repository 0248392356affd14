/*
 * Shared by the commands about membership: see enrol.h.
 */
#include "cli/enrol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/file.h"
#include "cli/options.h"
#include "crypto/fingerprint.h"
#include "crypto/sshsig.h"

#define ENROL_TEXT_MAX 65536

int enrol_read_public(struct space *space, struct enrol_public *out, struct qosid_errbuf *err)
{
	return space_public_keys(space, &out->ssh, &out->recipient, &out->words, err);
}

int enrol_member_public(const struct roster_member *member, struct enrol_public *out, struct qosid_errbuf *err)
{
	char ssh[SSH_PUBLIC_SIZE];
	int code;

	sshkey_format_public(ssh, member->signing_public);
	code = qosid_buf_append_text(&out->ssh, ssh, err);
	if (code == 0)
		code = qosid_buf_append_text(&out->recipient, member->recipient, err);
	if (code == 0)
		code = fingerprint_format(&out->words, member->signing_public, member->recipient, err);
	return code;
}

void enrol_free_public(struct enrol_public *keys)
{
	qosid_buf_free(&keys->ssh);
	qosid_buf_free(&keys->recipient);
	qosid_buf_free(&keys->words);
}

void enrol_add_public(struct output_object *object, const struct enrol_public *keys)
{
	output_add_text(object, "signing", (const char *)keys->ssh.data);
	output_add_text(object, "encryption", (const char *)keys->recipient.data);
	output_add_text(object, "fingerprint", (const char *)keys->words.data);
}

void enrol_warn_clear(const struct cli *cli)
{
	if (!cli->quiet)
		(void)fprintf(stderr,
		    "note: the keys in %s/identity are not protected by a passphrase: who can read that file can act "
		    "as this office\n",
		    space_dir(cli->space));
}

int enrol_write_text(const char *path, const struct qosid_buf *text, struct qosid_errbuf *err)
{
	struct file_output output = {0};
	int code;

	code = file_output_open(&output, path, err);
	if (code == 0)
		code = file_output_write(&output, text->data, text->len, err);
	if (code == 0 && (text->len == 0 || text->data[text->len - 1] != '\n'))
		code = file_output_write(&output, "\n", 1, err);
	if (code == 0)
		code = file_output_commit(&output, err);
	file_output_close(&output);
	return code;
}

int enrol_read_text(const char *argument, struct qosid_buf *out, struct qosid_errbuf *err)
{
	if (argument[0] == '{')
		return qosid_buf_append_text(out, argument, err);
	return file_read(argument, ENROL_TEXT_MAX, out, err);
}

int enrol_place_remote(
    struct cli *cli, const char *given, struct roster_invitation *invitation, struct qosid_errbuf *err)
{
	enum link_scheme scheme;
	char *absolute = NULL;
	int code = link_parse_url(given, &scheme, err);

	if (code != 0)
		return code;
	if (scheme == LINK_FOLDER && given[0] != '/')
		absolute = realpath(given, NULL);
	if (scheme == LINK_FOLDER && given[0] != '/' && absolute == NULL) {
		code = qosid_error_errno(err, errno, "there is no folder %s for --remote", given);
		qosid_error_hint(err, "give the full path of a remote that is not there now, such as "
				      "/media/stick/records.git");
		return code;
	}
	if (absolute != NULL)
		given = absolute;
	if (strlen(given) < sizeof(invitation->remote))
		memcpy(invitation->remote, given, strlen(given) + 1);
	else
		code = options_wrong(
		    cli, err, "the path of --remote is longer than %zu bytes", sizeof(invitation->remote) - 1);
	free(absolute);
	return code;
}

int enrol_report_wait(const struct cli *cli, const struct space_outcome *outcome, struct qosid_errbuf *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (!outcome->waits || cli->quiet)
		return 0;
	digest_format(digest, outcome->operation);
	(void)printf("It waits: %zu of %lld stewards have endorsed it. The others: qosid endorse %.16s\n",
	    outcome->endorsed, (long long)outcome->needed, digest + sizeof(DIGEST_PREFIX) - 1);
	return output_check(err);
}
