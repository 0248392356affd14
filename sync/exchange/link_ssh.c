/*
 * A link over ssh: the system's own OpenSSH in a child process, spoken to through a socket that never blocks.
 *
 * Questions are collected up to 64 KiB and sent as the other side takes them. What it says meanwhile is kept, up to a
 * bound, so that two sides that both talk do not wait for each other; past the bound it is the other side that waits.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/link_ssh.h"

#define COLLECT_BYTES (64u << 10)
#define AHEAD_BYTES (1u << 20) /* what may arrive while this side still talks */
#define ENDING_MS 1000

struct link_ssh {
	struct link link; /* first */
	struct link_url url;
	struct link_target target; /* texts are borrowed */
	struct link_watch watch;
	struct link_bucket up, down;
	struct link_child child;
	struct qosid_buf out; /* not sent yet */
	struct qosid_buf in;  /* arrived while this side talked, or at the opening */
	size_t in_used;
	bool asked; /* something was written since the last turn */
};

/* The child has ended its output: does that end the conversation, or tell of a failure? */
static int judge_end(struct link_ssh *ssh, struct link_probe *probe, struct qosid_errbuf *err)
{
	struct link_probe mine = {0};

	link_child_end(&ssh->child, ENDING_MS);
	if (link_child_exit_status(&ssh->child) == 0)
		return 0;
	return link_ssh_explain(&ssh->child, &ssh->url, &ssh->target, probe != NULL ? probe : &mine, err);
}

/* Read what there is, as far as the rate lets it, into out. */
static int receive(struct link_ssh *ssh, void *out, size_t size, size_t *got, struct qosid_errbuf *err)
{
	size_t allowed = link_bucket_allow(&ssh->down, size);
	int rc;

	*got = 0;
	if (allowed == 0 || (rc = link_child_read(&ssh->child, out, allowed, got, err)) != 0)
		return allowed == 0 ? 0 : rc;
	if (*got > 0) {
		link_bucket_take(&ssh->down, *got);
		link_watch_hear(&ssh->watch);
		ssh->link.traffic.down += *got;
	}
	return 0;
}

/* Wait for something to come, or for the rate to let it. */
static int await(struct link_ssh *ssh, struct qosid_errbuf *err)
{
	int rc = link_watch_check(&ssh->watch, err);

	if (rc != 0)
		return rc;
	if (link_bucket_allow(&ssh->down, 1) != 0)
		return link_child_wait(&ssh->child, true, false, LINK_SLICE_MS, err);
	link_watch_hear(&ssh->watch); /* this side is the one that waits */
	return link_child_wait(&ssh->child, false, false, link_bucket_wait(&ssh->down), err);
}

/* Take what comes while this side talks. */
static int receive_ahead(struct link_ssh *ssh, struct qosid_errbuf *err)
{
	uint8_t piece[16384];
	size_t got = 0;
	int rc;

	if (ssh->in.len >= AHEAD_BYTES)
		return 0;
	rc = receive(ssh, piece, sizeof(piece), &got, err);
	return rc != 0 || got == 0 ? rc : qosid_buf_append(&ssh->in, piece, got, err);
}

/* Send all that is collected. */
static int flush(struct link_ssh *ssh, struct qosid_errbuf *err)
{
	size_t sent = 0, done;
	int rc = 0;

	link_watch_hear(&ssh->watch);
	while (sent < ssh->out.len) {
		size_t allowed = link_bucket_allow(&ssh->up, ssh->out.len - sent);
		bool listen = ssh->in.len < AHEAD_BYTES && !ssh->child.output_ended;

		if ((rc = link_watch_check(&ssh->watch, err)) != 0)
			return rc;
		if (allowed == 0) {
			link_watch_hear(&ssh->watch); /* this side is the one that waits */
			if ((rc = link_child_wait(&ssh->child, false, false, link_bucket_wait(&ssh->up), err)) != 0)
				return rc;
			continue;
		}
		if ((rc = link_child_write(&ssh->child, ssh->out.data + sent, allowed, &done, err)) != 0)
			return rc;
		if (done > 0) {
			link_bucket_take(&ssh->up, done);
			link_watch_hear(&ssh->watch);
			ssh->link.traffic.up += done;
			sent += done;
		} else if ((rc = link_child_wait(&ssh->child, listen, true, LINK_SLICE_MS, err)) != 0 ||
			   (listen && (rc = receive_ahead(ssh, err)) != 0))
			return rc;
	}
	qosid_buf_reset(&ssh->out);
	return 0;
}

static int ssh_read(struct link *link, void *out, size_t size, size_t *got, struct qosid_errbuf *err)
{
	struct link_ssh *ssh = (struct link_ssh *)link;
	int rc;

	if (ssh->in_used < ssh->in.len) {
		*got = ssh->in.len - ssh->in_used < size ? ssh->in.len - ssh->in_used : size;
		memcpy(out, ssh->in.data + ssh->in_used, *got);
		ssh->in_used += *got;
		if (ssh->in_used == ssh->in.len) {
			qosid_buf_reset(&ssh->in);
			ssh->in_used = 0;
		}
		return 0;
	}
	link_watch_hear(&ssh->watch);
	for (;;) {
		if ((rc = receive(ssh, out, size, got, err)) != 0 || *got > 0)
			return rc;
		if (ssh->child.output_ended)
			return judge_end(ssh, NULL, err);
		if ((rc = await(ssh, err)) != 0)
			return rc;
	}
}

static int ssh_write(struct link *link, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct link_ssh *ssh = (struct link_ssh *)link;
	const uint8_t *bytes = data;
	int rc = 0;

	ssh->asked = true;
	while (rc == 0 && len > 0) {
		size_t room = COLLECT_BYTES - ssh->out.len, part = len < room ? len : room;

		if ((rc = qosid_buf_append(&ssh->out, bytes, part, err)) == 0 && ssh->out.len >= COLLECT_BYTES)
			rc = flush(ssh, err);
		bytes += part;
		len -= part;
	}
	return rc;
}

static int ssh_turn(struct link *link, struct qosid_errbuf *err)
{
	struct link_ssh *ssh = (struct link_ssh *)link;

	if (ssh->asked)
		link->traffic.round_trips++;
	ssh->asked = false;
	return flush(ssh, err);
}

static void ssh_close(struct link *link)
{
	struct link_ssh *ssh = (struct link_ssh *)link;

	/* One that heard the end of the conversation ends by itself. */
	link_child_shut(&ssh->child);
	link_child_end(&ssh->child, ssh->child.output_ended ? ENDING_MS : 200);
	link_child_free(&ssh->child);
	qosid_buf_wipe(&ssh->out);
	qosid_buf_free(&ssh->in);
	free(ssh);
}

static const struct link_class ssh_class = {
    .read = ssh_read,
    .write = ssh_write,
    .turn = ssh_turn,
    .close = ssh_close,
    .is_stateless = false,
};

/* Until the first byte, which only git sends, after everything that ssh has to settle. */
static int await_greeting(struct link_ssh *ssh, struct link_probe *probe, struct qosid_errbuf *err)
{
	int rc;

	while (ssh->in.len == 0) {
		if ((rc = receive_ahead(ssh, err)) != 0)
			return rc;
		if (ssh->in.len > 0)
			break;
		if (ssh->child.output_ended) {
			if ((rc = judge_end(ssh, probe, err)) == 0)
				rc = qosid_error(err, QOSID_ERR_INVALID, "%s has nothing to say about %s",
				    ssh->url.host, ssh->url.path);
			return rc;
		}
		if ((rc = await(ssh, err)) != 0)
			return rc;
	}
	probe->stage = LINK_STAGE_REPOSITORY;
	return 0;
}

int link_ssh_open(struct link **out, const struct link_url *url, const struct link_target *target, const char *service,
    const struct link_limits *limits, struct link_probe *probe, struct qosid_errbuf *err)
{
	static const char *const environment[] = {"GIT_PROTOCOL=version=2", NULL};
	struct link_ssh_command command = {0};
	struct link_ssh *ssh;
	int rc;

	if ((ssh = calloc(1, sizeof(*ssh))) == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	ssh->link.class = &ssh_class;
	ssh->url = *url;
	ssh->target = *target;
	ssh->child = (struct link_child){.pidfd = -1, .io = -1, .errors = -1};
	link_watch_begin(&ssh->watch, limits);
	link_bucket_begin(&ssh->up, ssh->watch.limits.rate_up);
	link_bucket_begin(&ssh->down, ssh->watch.limits.rate_down);
	rc = link_ssh_build(&command, url, target, service, NULL, &ssh->watch.limits, err);
	if (rc == 0 && (rc = link_child_start(&ssh->child, command.words, environment, err)) == QOSID_ERR_NOTFOUND)
		qosid_error_hint(err, "install OpenSSH's client");
	link_ssh_free_command(&command);
	if (rc == 0) {
		ssh->link.traffic.round_trips++; /* the greeting */
		rc = await_greeting(ssh, probe, err);
	}
	if (rc != 0)
		ssh_close(&ssh->link);
	else
		*out = &ssh->link;
	return rc;
}
