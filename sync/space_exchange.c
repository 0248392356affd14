/*
 * Exchange, proof and keys as a space offers them: the exchange layer under the space's lock, with the identity
 * unlocked.
 */
#include <stdio.h>
#include <string.h>

#include "sync/space_internal.h"

/* Lock, unlock the identity, and start a fresh report. */
int space_begin_exchange(struct space *space, const struct exchange_progress *progress, struct qosid_errbuf *err)
{
	int rc;

	if ((rc = space_identity(space, NULL, err)) != 0 ||
	    (rc = space_read_generations(space, &space->exchange.generations, err)) != 0 ||
	    (rc = space_hold(space, err)) != 0)
		return rc;
	space->exchange.report = (struct exchange_report){0};
	space->exchange.progress = progress != NULL ? *progress : (struct exchange_progress){0};
	return 0;
}

void space_end_exchange(struct space *space, struct exchange_report *report)
{
	space_release(space);
	if (report != NULL)
		*report = space->exchange.report;
}

int space_publish(struct space *space, const struct exchange_progress *progress, struct exchange_report *report,
    struct qosid_errbuf *err)
{
	int rc;

	if ((rc = space_begin_exchange(space, progress, err)) != 0)
		return rc;
	if ((rc = exchange_publish(&space->exchange, err)) == 0)
		rc = generation_check(&space->exchange, err);
	space_end_exchange(space, report);
	return rc;
}

int space_exchange(struct space *space, const char *remote, const struct exchange_progress *progress,
    struct exchange_report *report, struct qosid_errbuf *err)
{
	struct space_remote settings;
	int rc;

	if ((rc = space_read_remote(space, remote, &settings, err)) != 0)
		return rc;
	if ((rc = space_begin_exchange(space, progress, err)) != 0)
		goto out;
	settings.limits.cancel = space->exchange.progress.cancel;
	settings.limits.context = space->exchange.progress.context;
	space->exchange.files = settings.files;
	if ((rc = exchange_meet(&space->exchange, remote, &settings.target, &settings.limits, err)) == 0 &&
	    (rc = space_adopt_keys(space, err)) == 0)
		rc = repo_repack_loose(space->exchange.repo, EXCHANGE_LOOSE_MAX, err);
	space_end_exchange(space, report);
out:
	space_remote_free(&settings);
	return rc;
}

int space_fetch_file(struct space *space, const char *remote, const struct exchange_wanted *wanted,
    const struct exchange_progress *progress, struct exchange_report *report, bool *found, struct qosid_errbuf *err)
{
	struct space_remote settings;
	int rc;

	*found = false;
	if ((rc = space_read_remote(space, remote, &settings, err)) != 0)
		return rc;
	if (settings.files == EXCHANGE_FILES_NEVER)
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the remote %s is set never to carry files", remote);
	if (rc == 0 && (rc = space_begin_exchange(space, progress, err)) == 0) {
		settings.limits.cancel = space->exchange.progress.cancel;
		settings.limits.context = space->exchange.progress.context;
		rc = exchange_fetch_file(
		    &space->exchange, remote, &settings.target, &settings.limits, wanted, found, err);
		space_end_exchange(space, report);
	}
	space_remote_free(&settings);
	return rc;
}

int space_create_bundle(struct space *space, const char *path, const char *recipient,
    const struct exchange_progress *progress, struct bundle_summary *summary, struct qosid_errbuf *err)
{
	int rc = space_hold(space, err);

	if (rc != 0)
		return rc;
	space->exchange.progress = progress != NULL ? *progress : (struct exchange_progress){0};
	rc = bundle_create(&space->exchange, path, recipient, summary, err);
	space_release(space);
	return rc;
}

int space_verify(struct space *space, bool decrypt, const struct exchange_progress *progress,
    int (*visit)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err), void *context,
    struct exchange_proof *proof, struct qosid_errbuf *err)
{
	int rc;

	if (decrypt && (rc = space_identity(space, NULL, err)) != 0)
		return rc;
	if ((rc = space_hold(space, err)) != 0)
		return rc;
	space->exchange.progress = progress != NULL ? *progress : (struct exchange_progress){0};
	rc = exchange_prove(&space->exchange, decrypt, visit, context, proof, err);
	space_release(space);
	return rc;
}

static int match_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	return strcmp(finding->log, context) == 0 ? 1 : 0;
}

int space_forget_warnings(struct space *space, const char *log, struct qosid_errbuf *err)
{
	struct replica *replica = space->exchange.replica;
	char name[LOG_REF_SIZE];
	int rc;

	(void)snprintf(name, sizeof(name), "%s", log != NULL ? log : ""); /* one that is cut is not the name of a log */
	if (log != NULL && (rc = replica_visit_findings(replica, match_finding, name, err)) <= 0)
		return rc < 0 ? rc : qosid_error(err, QOSID_ERR_NOTFOUND, "nothing was found about a log %s", log);
	if ((rc = replica_begin(replica, err)) != 0)
		return rc;
	rc = log != NULL ? replica_clear_findings(replica, log, err) : replica_clear_warnings(replica, err);
	if (rc == 0)
		rc = replica_commit(replica, err);
	replica_rollback(replica);
	return rc;
}

int space_export_epoch_key(struct space *space, int64_t epoch, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const struct age_key *key;
	int rc;

	if ((rc = space_identity(space, NULL, err)) != 0 ||
	    (rc = keyring_find(&space->exchange, -1, epoch, &key, err)) != 0 ||
	    (rc = qosid_buf_append_format(
		 out, err, "# epoch %lld of space %s\n", (long long)epoch, space->config.id)) != 0 ||
	    (rc = age_key_format_secret(key, out, err)) != 0)
		return rc;
	return qosid_buf_append_byte(out, '\n', err);
}
