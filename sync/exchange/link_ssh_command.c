/*
 * How the system's ssh is called: see link_ssh.h.
 *
 * Options on the command line come before those of ssh_config, which still says what an administrator wants it to say
 * about a host: aliases, jump hosts, ciphers. What keeps a link safe is fixed here.
 */
#include <stdio.h>
#include <string.h>

#include "sync/exchange/link_ssh.h"

void link_ssh_free_command(struct link_ssh_command *command)
{
	for (size_t i = 0; i < command->built; i++)
		qosid_buf_free(&command->texts[i]);
	*command = (struct link_ssh_command){0};
}

static void add_word(struct link_ssh_command *command, const char *word)
{
	if (command->count + 1 < LINK_SSH_WORDS) /* the table below is far shorter */
		command->words[command->count++] = word;
}

/* The text being built becomes the next word. */
static void finish_text(struct link_ssh_command *command)
{
	add_word(command, (const char *)command->texts[command->built++].data);
}

/* The name of a file as ssh's config parser and its expansion of %-tokens leave it alone. */
static int append_file(struct qosid_buf *out, const char *path, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_byte(out, '"', err);

	if (strstr(path, "${") != NULL || strpbrk(path, "\r\n") != NULL)
		return qosid_error(err, QOSID_ERR_USAGE, "ssh cannot use a file of this name: %s", path);
	for (const char *p = path; rc == 0 && *p != '\0'; p++) {
		if (*p == '%')
			rc = qosid_buf_append_byte(out, '%', err);
		else if (*p == '"' || *p == '\\')
			rc = qosid_buf_append_byte(out, '\\', err);
		if (rc == 0)
			rc = qosid_buf_append_byte(out, (uint8_t)*p, err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, '"', err);
}

static int add_known_hosts(
    struct link_ssh_command *command, const struct link_target *target, const char *scan_file, struct qosid_errbuf *err)
{
	struct qosid_buf *text = &command->texts[command->built];
	const char *file = scan_file != NULL ? scan_file : target->known_hosts;
	int rc = qosid_buf_append_text(text, "-oUserKnownHostsFile=", err);

	if (rc == 0 && file != NULL)
		rc = append_file(text, file, err);
	if (rc == 0 && scan_file == NULL)
		rc = qosid_buf_append_text(text, " ~/.ssh/known_hosts ~/.ssh/known_hosts2", err);
	finish_text(command);
	return rc;
}

/* As git quotes for the shell at the other end, or for git-shell. */
static int add_remote_command(
    struct link_ssh_command *command, const char *program, const char *path, struct qosid_errbuf *err)
{
	struct qosid_buf *text = &command->texts[command->built];
	int rc = qosid_buf_append_format(text, err, "%s '", program);

	for (const char *p = path; rc == 0 && *p != '\0'; p++) {
		if (*p == '\'' || *p == '!')
			rc = qosid_buf_append_format(text, err, "'\\%c'", *p);
		else
			rc = qosid_buf_append_byte(text, (uint8_t)*p, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_byte(text, '\'', err);
	finish_text(command);
	return rc;
}

static int add_number(struct link_ssh_command *command, const char *option, unsigned number, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_format(&command->texts[command->built], err, "%s%u", option, number);

	finish_text(command);
	return rc;
}

int link_ssh_build(struct link_ssh_command *out, const struct link_url *url, const struct link_target *target,
    const char *program, const char *scan_file, const struct link_limits *limits, struct qosid_errbuf *err)
{
	/* clang-format off */
	static const char *const fixed[] = {"ssh", "-T", "-a", "-x", "-oBatchMode=yes", "-oLogLevel=ERROR",
	    "-oClearAllForwardings=yes", "-oPermitLocalCommand=no", "-oControlMaster=no",
	    "-oUpdateHostKeys=no", "-oCheckHostIP=no", "-oNoHostAuthenticationForLocalhost=no"};
	static const char *const speaking[] = {"-oStrictHostKeyChecking=yes", "-oSendEnv=GIT_PROTOCOL",
	    "-oCompression=yes", "-oServerAliveCountMax=3"};
	static const char *const scanning[] = {"-oStrictHostKeyChecking=accept-new", "-oHashKnownHosts=no",
	    "-oGlobalKnownHostsFile=/dev/null", "-oVerifyHostKeyDNS=no",
	    "-oPreferredAuthentications=none", "-oPubkeyAuthentication=no"};
	/* clang-format on */
	unsigned idle = limits->idle_seconds, alive = idle / 3 > 1 ? idle / 3 : 1;
	int rc;

	*out = (struct link_ssh_command){0};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		add_word(out, fixed[i]);
	for (size_t i = 0; scan_file == NULL && i < sizeof(speaking) / sizeof(speaking[0]); i++)
		add_word(out, speaking[i]);
	for (size_t i = 0; scan_file != NULL && i < sizeof(scanning) / sizeof(scanning[0]); i++)
		add_word(out, scanning[i]);
	if ((rc = add_number(out, "-oConnectTimeout=", idle, err)) != 0 ||
	    (rc = add_number(out, "-oServerAliveInterval=", alive, err)) != 0 ||
	    (rc = add_known_hosts(out, target, scan_file, err)) != 0)
		return rc;
	if (target->ssh_key != NULL && scan_file == NULL) {
		struct qosid_buf *text = &out->texts[out->built];

		add_word(out, "-oIdentitiesOnly=yes");
		if ((rc = qosid_buf_append_text(text, "-oIdentityFile=", err)) == 0)
			rc = append_file(text, target->ssh_key, err);
		finish_text(out);
	}
	if (rc == 0 && url->port != 0)
		rc = add_number(out, "-p", url->port, err);
	if (url->user[0] != '\0') {
		add_word(out, "-l");
		add_word(out, url->user);
	}
	add_word(out, "--");
	add_word(out, url->host);
	if (rc == 0)
		rc = add_remote_command(out, program, url->path, err);
	return rc;
}

/* ---- explaining ---- */

static bool says(const struct link_child *child, const char *text)
{
	return child->said.len > 0 && memmem(child->said.data, child->said.len, text, strlen(text)) != NULL;
}

/* The last line that says something, cut, and without what could drive a terminal. */
static void last_words(const struct link_child *child, char *out, size_t size)
{
	const char *text = (const char *)child->said.data;
	size_t end = child->said.len, begin;

	while (end > 0 && (unsigned char)text[end - 1] <= ' ')
		end--;
	for (begin = end; begin > 0 && text[begin - 1] != '\n'; begin--)
		;
	(void)snprintf(out, size, "%.*s", (int)(end - begin < size ? end - begin : size - 1),
	    end > begin ? text + begin : "nothing");
	for (char *p = out; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f || (unsigned char)*p >= 0x80)
			*p = '?';
	}
}

static int explain_host(const struct link_child *child, const struct link_url *url, const struct link_target *target,
    struct link_probe *probe, struct qosid_errbuf *err)
{
	int rc;

	probe->stage = LINK_STAGE_CONNECT;
	if (says(child, "IDENTIFICATION HAS CHANGED")) {
		rc = qosid_error(err, QOSID_ERR_REFUSED,
		    "THE KEY OF %s HAS CHANGED: somebody may be in between, and nothing was sent", url->host);
		qosid_error_hint(err,
		    "ask whoever runs the server; only if the new key is theirs: `ssh-keygen -R %s -f %s`, then test "
		    "again",
		    url->host, target->known_hosts != NULL ? target->known_hosts : "~/.ssh/known_hosts");
		return rc;
	}
	if (says(child, "revoked")) {
		return qosid_error(err, QOSID_ERR_REFUSED, "the key of %s has been revoked", url->host);
	}
	probe->host_unknown = true;
	rc = qosid_error(err, QOSID_ERR_REFUSED, "the key of %s is not known here yet", url->host);
	qosid_error_hint(err, "`qosid remote test NAME` shows its fingerprint and asks whether it is right");
	return rc;
}

static int explain_login(const struct link_child *child, const struct link_url *url, const struct link_target *target,
    struct qosid_errbuf *err)
{
	char words[200];
	int rc;

	last_words(child, words, sizeof(words));
	if (says(child, "UNPROTECTED PRIVATE KEY FILE")) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "ssh does not use a key file that others may read");
		qosid_error_hint(err, "chmod 600 %s", target->ssh_key != NULL ? target->ssh_key : "the key file");
		return rc;
	}
	rc = qosid_error(err, QOSID_ERR_REFUSED, "%s does not let this office in: %s", url->host, words);
	if (target->ssh_key == NULL)
		qosid_error_hint(err, "`ssh-add -l` lists the keys that were offered; --ssh-key FILE names one");
	else
		qosid_error_hint(err,
		    "the server must know %.100s.pub, and a key with a passphrase must be in ssh-agent",
		    target->ssh_key);
	return rc;
}

static int explain_repository(
    const struct link_child *child, const struct link_url *url, struct link_probe *probe, struct qosid_errbuf *err)
{
	int status = link_child_exit_status(child), rc;
	char words[200];

	probe->stage = LINK_STAGE_LOGIN;
	last_words(child, words, sizeof(words));
	if (says(child, "dubious ownership")) {
		rc = qosid_error(
		    err, QOSID_ERR_REFUSED, "git at %s does not trust the owner of %s", url->host, url->path);
		qosid_error_hint(
		    err, "there: chown it to the user that logs in, or git config --global safe.directory");
		return rc;
	}
	if (says(child, "not appear to be a git repository") || says(child, "not found") ||
	    says(child, "does not exist") || says(child, "o such file")) {
		if (status == 127 || says(child, "command not found")) {
			rc = qosid_error(err, QOSID_ERR_FAILED, "there is no git at %s: %s", url->host, words);
			qosid_error_hint(
			    err, "install git there, or let its PATH hold it for logins without a terminal");
			return rc;
		}
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no repository %s at %s", url->path, url->host);
		qosid_error_hint(
		    err, "make it there with `git init --bare %.150s`, or add the remote with --create", url->path);
		return rc;
	}
	if (says(child, "denied") || says(child, "unrecognized command") || says(child, "nteractive"))
		return qosid_error(err, QOSID_ERR_REFUSED, "%s refuses: %s", url->host, words);
	return qosid_error(err, status == 255 ? QOSID_ERR_OFFLINE : QOSID_ERR_FAILED,
	    "%s ended the conversation (status %d): %s", url->host, status, words);
}

int link_ssh_explain(const struct link_child *child, const struct link_url *url, const struct link_target *target,
    struct link_probe *probe, struct qosid_errbuf *err)
{
	char words[200];
	int rc;

	last_words(child, words, sizeof(words));
	if (says(child, "Could not resolve hostname") || says(child, "not resolve")) {
		probe->stage = LINK_STAGE_START;
		rc = qosid_error(err, QOSID_ERR_OFFLINE, "the name %s cannot be resolved", url->host);
		qosid_error_hint(err, "is the network up, and the name right?");
		return rc;
	}
	if (says(child, "ost key verification failed") || says(child, "IDENTIFICATION HAS CHANGED"))
		return explain_host(child, url, target, probe, err);
	if (says(child, "Permission denied (") || says(child, "Too many authentication failures") ||
	    says(child, "UNPROTECTED PRIVATE KEY FILE")) {
		probe->stage = LINK_STAGE_HOST;
		return explain_login(child, url, target, err);
	}
	if (link_child_exit_status(child) == 255 &&
	    (says(child, "connect to host") || says(child, "kex_exchange_identification") ||
		says(child, "Connection closed") || says(child, "Connection reset") || says(child, "imed out") ||
		says(child, "Timeout") || says(child, "roken pipe"))) {
		probe->stage = says(child, "connect to host") ? LINK_STAGE_NAME : LINK_STAGE_CONNECT;
		rc = qosid_error(err, QOSID_ERR_OFFLINE, "%s cannot be reached: %s", url->host, words);
		qosid_error_hint(err, "try later; what has arrived is kept");
		return rc;
	}
	if (says(child, "nable to negotiate")) {
		probe->stage = LINK_STAGE_CONNECT;
		return qosid_error(err, QOSID_ERR_REFUSED, "%s speaks no ssh that is safe: %s", url->host, words);
	}
	return explain_repository(child, url, probe, err);
}
