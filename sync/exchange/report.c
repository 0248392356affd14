/*
 * What an exchange tells its caller: progress, and findings that outlive it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "sync/exchange/exchange.h"

void exchange_report_progress(const struct exchange *exchange, const char *stage, size_t done, size_t total)
{
	if (exchange->progress.report != NULL)
		exchange->progress.report(exchange->progress.context, stage, done, total);
}

void exchange_name_finding(char out[LOG_REF_SIZE], const struct log *log, const char *remote)
{
	(void)snprintf(out, LOG_REF_SIZE, "%s%s%s", log->name, remote != NULL ? "@" : "", remote != NULL ? remote : "");
}

int exchange_note_finding(struct exchange *exchange, const struct log *log, const char *remote, int64_t sequence,
    const git_oid *evidence, const char *cause, bool stops, const struct qosid_errbuf *fault, struct qosid_errbuf *err)
{
	char name[LOG_REF_SIZE], id[GIT_OID_HEXSZ + 1] = "", detail[sizeof(fault->what) + sizeof(fault->where) + 4];
	struct timeval now;
	struct replica_finding finding = {.log = name, .sequence = sequence, .cause = cause, .stops = stops};
	int rc;

	exchange_name_finding(name, log, remote);
	if (evidence != NULL)
		git_oid_tostr(id, sizeof(id), evidence);
	(void)snprintf(
	    detail, sizeof(detail), "%s%s%s", fault->where, fault->where[0] != '\0' ? ": " : "", fault->what);
	(void)gettimeofday(&now, NULL); /* cannot fail with a valid pointer */
	finding.time = (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
	finding.detail = detail;
	finding.evidence = id;
	exchange->report.findings++;
	if (stops)
		exchange->report.stopped++;
	if ((rc = replica_begin(exchange->replica, err)) != 0)
		return rc;
	if ((rc = replica_put_finding(exchange->replica, &finding, err)) == 0)
		rc = replica_commit(exchange->replica, err);
	replica_rollback(exchange->replica);
	return rc;
}

static int match_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	return strcmp(finding->log, context) == 0 ? 1 : 0;
}

int exchange_clear_findings(
    struct exchange *exchange, const struct log *log, const char *remote, struct qosid_errbuf *err)
{
	char name[LOG_REF_SIZE];
	int rc;

	exchange_name_finding(name, log, remote);
	/* Nearly always there is none, and a transaction costs an fsync. */
	if ((rc = replica_visit_findings(exchange->replica, match_finding, name, err)) <= 0)
		return rc;
	if ((rc = replica_begin(exchange->replica, err)) != 0)
		return rc;
	if ((rc = replica_clear_findings(exchange->replica, name, err)) == 0)
		rc = replica_commit(exchange->replica, err);
	replica_rollback(exchange->replica);
	return rc;
}
