/*
 * One meeting with a remote, whatever the way to it (peer.h): fetch, verify, apply, publish, push.
 *
 * The roster comes first, since it decides who is heard. Every log that this office has verified is pushed, not only
 * its own, so that any two offices that meet bring each other up to date on all others. A remote is never trusted: what
 * it offers is copied under refs/remotes/<remote>/, a batch at a time that is verified before the next one is copied,
 * and only moves anything else once it has been verified. A log that fails, at the remote or here, never keeps the
 * others from going on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/exchange.h"
#include "sync/exchange/peer.h"

/* A ref that holds a log, here or there. */
struct offer {
	struct log log;
	int64_t generation; /* of an archive */
	git_oid tip;
};

struct offers {
	struct offer *items;
	size_t count;
	size_t prefix; /* of the ref names, to be skipped */
	bool archives; /* instead of logs */
};

struct meeting {
	struct exchange *exchange;
	const char *remote;
	struct peer *peer;
	struct offers offers;        /* what the remote has */
	struct offers archives;      /* and of old generations */
	const struct offer *strange; /* one of those that belong to no member */
	size_t strange_count;
	const struct exchange_wanted *wanted; /* fetch a files log no further than this; NULL: logs as they are */
};

static int grow_offers(struct offers *offers, struct qosid_errbuf *err)
{
	struct offer *items;

	if ((offers->count & (offers->count - 1)) == 0) { /* full at powers of two */
		items = realloc(offers->items, (offers->count == 0 ? 1 : offers->count * 2) * sizeof(*items));
		if (items == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the remote's refs");
		offers->items = items;
	}
	return 0;
}

static int add_offer(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	struct offers *offers = context;
	struct offer offer = {.tip = *id};
	int rc;

	if (strlen(name) <= offers->prefix)
		return 0; /* other branches are none of our business */
	if (offers->archives ? !archive_parse(name + offers->prefix, &offer.log, &offer.generation)
			     : log_parse(&offer.log, name + offers->prefix, NULL) != 0)
		return 0;
	if ((rc = grow_offers(offers, err)) == 0)
		offers->items[offers->count++] = offer;
	return rc;
}

/* Logs into the one, archives into the other. */
static int add_any_offer(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	struct meeting *meeting = context;
	int rc = add_offer(&meeting->offers, name, id, err);

	return rc != 0 ? rc : add_offer(&meeting->archives, name, id, err);
}

static int list_offers(struct repo *repo, const char *prefix, struct offers *offers, struct qosid_errbuf *err)
{
	offers->prefix = strlen(prefix);
	return repo_visit_refs(repo, prefix, add_offer, offers, err);
}

static const struct offer *find_offer(const struct offers *offers, const struct log *log)
{
	for (size_t i = 0; i < offers->count; i++) {
		if (strcmp(offers->items[i].log.name, log->name) == 0)
			return &offers->items[i];
	}
	return NULL;
}

/* Set a ref to id, whatever it was. */
static int set_ref(struct repo *repo, const char *ref, const git_oid *id, struct qosid_errbuf *err)
{
	git_oid old;
	int rc = repo_read_ref(repo, ref, &old, err);

	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	if (rc == 0 && git_oid_equal(&old, id))
		return 0;
	return repo_update_ref(repo, ref, rc == 0 ? &old : NULL, id, err);
}

/* How far this office has verified a log. */
static int read_point(
    const struct exchange *exchange, const struct log *log, struct log_point *out, struct qosid_errbuf *err)
{
	if (log->kind != LOG_ROSTER)
		return log_read_point(exchange->replica, log, out, err);
	roster_log_read_point(exchange, log->office, out);
	return 0;
}

/* A remote that shows less of a log than it did at the last meeting. tip NULL: the log is gone. */
static int note_rewind(
    struct meeting *meeting, const struct log *log, const git_oid *before, const git_oid *tip, struct qosid_errbuf *err)
{
	char was[GIT_OID_HEXSZ + 1], is[GIT_OID_HEXSZ + 1] = "gone";
	struct qosid_errbuf fault = {0};
	struct log_chain chain = {0};
	enum log_relation relation;
	struct log_point point;
	int rc;

	git_oid_tostr(was, sizeof(was), before);
	if (tip != NULL)
		git_oid_tostr(is, sizeof(is), tip);
	if ((rc = read_point(meeting->exchange, log, &point, err)) != 0)
		return rc;
	rc = log_relate(meeting->exchange->repo, log, &point, before, &relation, &chain, NULL);
	log_chain_free(&chain);
	if (rc != 0 || (relation != LOG_SAME && relation != LOG_BEHIND))
		return 0; /* what it showed then was never verified: that it is gone is no loss */
	(void)qosid_error(&fault, QOSID_ERR_REFUSED,
	    "%s was rewound at %s: it stood at %.12s at the last meeting and is %s%.12s now", log->name,
	    meeting->remote, was, tip != NULL ? "at " : "", is);
	return exchange_note_finding(
	    meeting->exchange, log, NULL, point.sequence, before, "rewind", false, &fault, err);
}

/* Compare with the last meeting. */
static int check_rewind(struct meeting *meeting, const struct offer *offer, struct qosid_errbuf *err)
{
	struct repo *repo = meeting->exchange->repo;
	struct log_chain chain = {0};
	/* Only the commit of this point is known, and log_relate() needs no more. */
	struct log_point before = {.sequence = 1};
	enum log_relation relation;
	char ref[LOG_REF_SIZE];
	int rc;

	log_format_remote(ref, &offer->log, meeting->remote);
	rc = repo_read_ref(repo, ref, &before.commit, err);
	if (rc == QOSID_ERR_NOTFOUND)
		return 0;
	if (rc != 0 || git_oid_equal(&before.commit, &offer->tip) || !repo_has(repo, &offer->tip))
		return rc;
	/* A damaged object here will be found, and reported, when the log is applied. */
	if (log_relate(repo, &offer->log, &before, &offer->tip, &relation, &chain, NULL) == 0 && relation == LOG_BEHIND)
		rc = note_rewind(meeting, &offer->log, &before.commit, &offer->tip, err);
	log_chain_free(&chain);
	return rc;
}

/* Note that what the remote holds after the last good change set cannot be read. */
static int note_damage(
    struct meeting *meeting, const struct offer *offer, const struct qosid_errbuf *fault, struct qosid_errbuf *err)
{
	struct log_point point;
	int rc;

	if ((rc = read_point(meeting->exchange, &offer->log, &point, err)) != 0)
		return rc;
	return exchange_note_finding(meeting->exchange, &offer->log, meeting->remote, point.sequence + 1, &offer->tip,
	    "damage", true, fault, err);
}

static int apply_offer(struct meeting *meeting, const struct log *log, const git_oid *tip, struct qosid_errbuf *err)
{
	if (log->kind == LOG_ROSTER)
		return roster_log_extend(meeting->exchange, log, tip, meeting->remote, err);
	return apply_log(meeting->exchange, log, tip, meeting->remote, err);
}

/* A log that is being copied. */
struct arrival {
	struct meeting *meeting;
	const struct log *log;
};

/* Verify and apply a batch as soon as it is here; after the first fault no more is copied. */
static int apply_batch(void *context, const git_oid *complete, struct qosid_errbuf *err)
{
	struct arrival *arrival = context;
	struct exchange *exchange = arrival->meeting->exchange;
	size_t before = exchange->report.stopped + exchange->report.waiting;
	const struct exchange_wanted *wanted = arrival->meeting->wanted;
	bool found = false;
	int rc = apply_offer(arrival->meeting, arrival->log, complete, err);

	if (rc == 0 && wanted != NULL)
		rc = attachment_find(exchange->replica, wanted->digest, &found, NULL, err);
	return rc != 0 ? rc : found || exchange->report.stopped + exchange->report.waiting > before;
}

/* Whether a tip is the last commit of the generation before the one that is known here: there is nothing to learn from
 * it, and it need not be here. */
static bool is_left_behind(struct exchange *exchange, const struct log *log, const git_oid *tip)
{
	struct commit commit = {0};
	git_oid begin;
	bool left = log->kind == LOG_OFFICE && generation_read_begin(exchange, log, &begin, NULL) == 0 &&
		    log_read_commit(exchange->repo, &begin, &commit, NULL) == 0 && commit_begins(&commit) &&
		    git_oid_equal(&commit.archive, tip);

	commit_free(&commit);
	return left;
}

/* Copy what an offer holds. *tip is what there is to apply: the whole of it, or what came before the damage that
 * damage->code then tells of; *have is false when there is nothing (more) to apply. */
static int fetch_offer(struct meeting *meeting, const struct offer *offer, git_oid *tip, bool *have,
    struct qosid_errbuf *damage, struct qosid_errbuf *err)
{
	struct exchange *exchange = meeting->exchange;
	struct arrival arrival = {meeting, &offer->log};
	struct transfer_watch watch = {apply_batch, &arrival, meeting->wanted != NULL};
	struct transfer_stats stats;
	struct log_point point;
	char ref[LOG_REF_SIZE];
	bool whole;
	int rc;

	*tip = offer->tip;
	*have = true;
	if ((rc = check_rewind(meeting, offer, err)) != 0)
		return rc;
	log_format_remote(ref, &offer->log, meeting->remote);
	if (repo_has(exchange->repo, &offer->tip))
		return set_ref(exchange->repo, ref, &offer->tip, err);
	if (is_left_behind(exchange, &offer->log, &offer->tip)) {
		*have = false;
		return 0;
	}
	if ((rc = read_point(exchange, &offer->log, &point, err)) != 0)
		return rc;
	rc = peer_fetch(meeting->peer, &offer->tip, &point.commit, ref, &watch, &stats, &whole, damage);
	exchange->report.commits_fetched += stats.commits;
	exchange->report.bytes_fetched += stats.bytes;
	if (rc == 0 && whole)
		return set_ref(exchange->repo, ref, &offer->tip, err);
	if (rc == 0) {
		*have = false; /* the fault in the last batch has been noted */
		return 0;
	}
	if (peer_is_damage(rc)) {
		*have = repo_read_ref(exchange->repo, ref, tip, NULL) == 0;
		return 0;
	}
	if (err != NULL)
		*err = *damage;
	return rc;
}

/* Whether anybody may write a log of this name: no more of the others is copied than their names. */
static bool is_expected(const struct exchange *exchange, const struct log *log)
{
	if (log->kind == LOG_ROSTER)
		return roster_log_is_expected(exchange, log->office);
	return roster_find_member(exchange->roster, -1, log->office) != NULL;
}

static int take_offer(struct meeting *meeting, const struct offer *offer, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};
	bool have = false;
	git_oid tip;
	int rc;

	if (offer->log.kind != LOG_ROSTER && roster_operation_count(meeting->exchange->roster) == 0) {
		meeting->exchange->report.waiting++;
		return 0;
	}
	if (!is_expected(meeting->exchange, &offer->log)) {
		if (meeting->strange_count++ == 0)
			meeting->strange = offer;
		return 0;
	}
	if ((rc = fetch_offer(meeting, offer, &tip, &have, &fault, err)) != 0 ||
	    (have && (rc = apply_offer(meeting, &offer->log, &tip, err)) != 0))
		return rc;
	/* After the intact part has been applied, since that clears what was found about this log here. */
	if (fault.code == 0)
		return 0;
	return note_damage(meeting, offer, &fault, err);
}

/* One finding for all logs there that belong to nobody: there may be thousands. */
static int note_strangers(struct meeting *meeting, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};

	if (meeting->strange_count == 0)
		return 0;
	(void)qosid_error(&fault, QOSID_ERR_REFUSED, "%s holds %zu log%s that no member may write, such as %s",
	    meeting->remote, meeting->strange_count, meeting->strange_count == 1 ? "" : "s",
	    meeting->strange->log.name);
	return exchange_note_finding(meeting->exchange, &meeting->strange->log, meeting->remote, 0,
	    &meeting->strange->tip, "member", false, &fault, err);
}

/* Logs that the remote had at the last meeting and does not offer any more. */
static int check_withdrawn(struct meeting *meeting, struct qosid_errbuf *err)
{
	struct offers before = {0};
	char prefix[LOG_REF_SIZE], ref[LOG_REF_SIZE];
	int rc;

	(void)snprintf(prefix, sizeof(prefix), "refs/remotes/%s/", meeting->remote);
	rc = list_offers(meeting->exchange->repo, prefix, &before, err);
	for (size_t i = 0; rc == 0 && i < before.count; i++) {
		const struct offer *gone = &before.items[i];

		if (find_offer(&meeting->offers, &gone->log) != NULL)
			continue;
		log_format_remote(ref, &gone->log, meeting->remote);
		if ((rc = note_rewind(meeting, &gone->log, &gone->tip, NULL, err)) == 0)
			rc = repo_delete_ref(meeting->exchange->repo, ref, &gone->tip, err);
	}
	free(before.items);
	return rc;
}

/* A finding about what this remote offered. */
struct stale {
	const struct meeting *meeting;
	struct log log;
};

static int find_stale(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct stale *stale = context;
	const char *at = strrchr(finding->log, '@');
	char name[LOG_REF_SIZE];

	(void)err;
	if (at == NULL || strcmp(at + 1, stale->meeting->remote) != 0)
		return 0;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(at - finding->log), finding->log);
	return log_parse(&stale->log, name, NULL) == 0 && find_offer(&stale->meeting->offers, &stale->log) == NULL;
}

/* What was found about a log here is moot when the remote does not offer it any more. */
static int clear_withdrawn(struct meeting *meeting, struct qosid_errbuf *err)
{
	struct stale stale = {.meeting = meeting};
	int rc;

	while ((rc = replica_visit_findings(meeting->exchange->replica, find_stale, &stale, err)) > 0) {
		if ((rc = exchange_clear_findings(meeting->exchange, &stale.log, meeting->remote, err)) != 0)
			break;
	}
	return rc;
}

/* Take the offers of one kind. */
static int take_kind(struct meeting *meeting, enum log_kind kind, size_t *done, struct qosid_errbuf *err)
{
	int rc;

	for (size_t i = 0; i < meeting->offers.count; i++) {
		if (meeting->offers.items[i].log.kind != kind)
			continue;
		if ((rc = take_offer(meeting, &meeting->offers.items[i], err)) != 0)
			return rc;
		exchange_report_progress(meeting->exchange, "fetch", ++*done, meeting->offers.count);
	}
	return 0;
}

/* Stewards' logs wait for each other's operations, and name new stewards: they are taken in turns, until that brings
 * nothing more. What is said about the last turn is what counts. */
static int take_rosters(struct meeting *meeting, size_t *done, struct qosid_errbuf *err)
{
	struct exchange_report *report = &meeting->exchange->report;
	size_t findings = report->findings, stopped = report->stopped, waiting = report->waiting, before;
	int rc;

	do {
		before = roster_operation_count(meeting->exchange->roster);
		report->findings = findings;
		report->stopped = stopped;
		report->waiting = waiting;
		meeting->strange_count = 0;
		*done = 0;
		if ((rc = take_kind(meeting, LOG_ROSTER, done, err)) != 0)
			return rc;
	} while (roster_operation_count(meeting->exchange->roster) > before);
	return 0;
}

static const struct offer *find_archive(const struct offers *offers, const struct log *log, int64_t generation)
{
	for (size_t i = 0; i < offers->count; i++) {
		if (offers->items[i].generation == generation && strcmp(offers->items[i].log.office, log->office) == 0)
			return &offers->items[i];
	}
	return NULL;
}

/* Bring the generation before the one that starts with begin, and verify it. *first becomes its own first commit, *have
 * false when it is not to be had here. */
static int fetch_archive(struct meeting *meeting, const struct log *log, const git_oid *begin, git_oid *first,
    bool *have, struct qosid_errbuf *err)
{
	static const git_oid nothing;
	struct exchange *exchange = meeting->exchange;
	struct qosid_errbuf fault = {0};
	struct transfer_stats stats = {0};
	const struct offer *offer;
	struct commit commit = {0};
	char ref[ARCHIVE_REF_SIZE];
	const char *cause = "archive";
	bool whole = true;
	git_oid here;
	int rc;

	*have = false;
	if ((rc = log_read_commit(exchange->repo, begin, &commit, err)) != 0 || !commit_begins(&commit))
		goto out;
	archive_format(ref, exchange, log, commit.generation - 1);
	*have = repo_read_ref(exchange->repo, ref, &here, NULL) == 0 && git_oid_equal(&here, &commit.archive);
	if (*have) {
		rc = archive_find_first(exchange, &commit.archive, first, err);
		goto out;
	}
	offer = find_archive(&meeting->archives, log, commit.generation - 1);
	if (offer == NULL)
		goto out;
	if (!git_oid_equal(&offer->tip, &commit.archive)) {
		rc = qosid_error(&fault, QOSID_ERR_REFUSED, "%s: the archive of generation %lld is another one",
		    log->name, (long long)offer->generation);
	} else if (!repo_has(exchange->repo, &offer->tip)) {
		rc = peer_fetch(meeting->peer, &offer->tip, &nothing, NULL, NULL, &stats, &whole, &fault);
		exchange->report.commits_fetched += stats.commits;
		exchange->report.bytes_fetched += stats.bytes;
	}
	if (rc == 0 && whole && (rc = archive_verify(exchange, log, begin, first, &cause, &fault)) == 0) {
		*have = true;
		rc = set_ref(exchange->repo, ref, &commit.archive, err);
	} else if (peer_is_damage(rc) || rc == QOSID_ERR_REFUSED)
		rc = exchange_note_finding(
		    exchange, log, meeting->remote, commit.sequence - 1, &commit.archive, cause, false, &fault, err);
	else if (rc != 0 && err != NULL)
		*err = fault;
out:
	commit_free(&commit);
	return rc;
}

/* For an auditor: the generations before, of all logs, as far as the remote has them. */
static int fetch_archives(struct meeting *meeting, struct qosid_errbuf *err)
{
	struct exchange *exchange = meeting->exchange;
	int rc = 0;

	if (!exchange->generations.fetch || meeting->archives.count == 0)
		return 0;
	for (size_t i = 0; rc == 0 && i < roster_member_count(exchange->roster, -1); i++) {
		bool have = true;
		git_oid begin, first;
		struct log log;

		log_init(&log, LOG_OFFICE, roster_member_at(exchange->roster, -1, i)->office);
		if (generation_read_begin(exchange, &log, &begin, NULL) != 0)
			continue;
		while (rc == 0 && have) {
			if ((rc = fetch_archive(meeting, &log, &begin, &first, &have, err)) == 0 && have)
				git_oid_cpy(&begin, &first);
		}
	}
	return rc;
}

static int fetch_all(struct meeting *meeting, struct qosid_errbuf *err)
{
	size_t done = 0;
	int rc;

	if ((rc = check_withdrawn(meeting, err)) != 0 || (rc = clear_withdrawn(meeting, err)) != 0 ||
	    (rc = take_rosters(meeting, &done, err)) != 0 || (rc = take_kind(meeting, LOG_OFFICE, &done, err)) != 0)
		return rc;
	if (meeting->exchange->files == EXCHANGE_FILES_ALWAYS && (rc = take_kind(meeting, LOG_FILES, &done, err)) != 0)
		return rc;
	return (rc = note_strangers(meeting, err)) != 0 ? rc : fetch_archives(meeting, err);
}

/* Take in what this office holds already: after a restored replica its repository knows more than the replica does, and
 * must not be set back by a remote that knows less. */
static int take_over(struct exchange *exchange, struct qosid_errbuf *err)
{
	struct offers held = {0};
	int rc = list_offers(exchange->repo, "refs/qosid/verified/", &held, err);

	for (size_t i = 0; rc == 0 && i < held.count; i++) {
		if (held.items[i].log.kind != LOG_ROSTER)
			rc = apply_log(exchange, &held.items[i].log, &held.items[i].tip, EXCHANGE_OWN_REPOSITORY, err);
	}
	free(held.items);
	return rc;
}

/* Logs of ours that the remote lacks, or has less of. */
struct pushes {
	struct peer_update *updates;
	char (*refs)[LOG_REF_SIZE];
	const struct offer **offers;
	size_t count;
};

static void pushes_free(struct pushes *pushes)
{
	free(pushes->updates);
	free(pushes->refs);
	free(pushes->offers);
}

static int pushes_make(struct pushes *pushes, size_t count, struct qosid_errbuf *err)
{
	pushes->updates = calloc(count, sizeof(*pushes->updates));
	pushes->refs = calloc(count, sizeof(*pushes->refs));
	pushes->offers = calloc(count, sizeof(const struct offer *));
	if (count > 0 && (pushes->updates == NULL || pushes->refs == NULL || pushes->offers == NULL))
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for what is to be pushed");
	return 0;
}

/* Whether a log of ours goes on where the remote's ends: with the commits after it, or with a later generation. */
static int goes_on(const struct meeting *meeting, const struct offer *ours, const git_oid *theirs, bool *answer,
    struct qosid_errbuf *err)
{
	struct exchange *exchange = meeting->exchange;
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root, exchange->steward};
	struct log_point point = {.sequence = 1, .commit = ours->tip};
	struct log_chain chain = {0};
	enum log_relation relation;
	int rc;

	*answer = is_left_behind(exchange, &ours->log, theirs);
	if (*answer || !repo_has(exchange->repo, theirs))
		return 0;
	rc = log_relate(exchange->repo, &ours->log, &point, theirs, &relation, &chain, err);
	log_chain_free(&chain);
	if (rc != 0)
		return peer_is_damage(rc) ? 0 : rc; /* it was reported when it was applied */
	*answer = relation == LOG_BEHIND ||
		  (relation == LOG_OLDER && log_is_signed(exchange->repo, &ours->log, &rules, theirs));
	return 0;
}

/* Add a log of ours, when it goes on where the remote's ends (or it has none). */
static int pushes_add(
    struct pushes *pushes, const struct meeting *meeting, const struct offer *ours, struct qosid_errbuf *err)
{
	const struct offer *theirs = find_offer(&meeting->offers, &ours->log);
	struct peer_update *update = &pushes->updates[pushes->count];
	bool more = false;
	int rc;

	if (theirs != NULL) {
		if (git_oid_equal(&theirs->tip, &ours->tip))
			return 0;
		if ((rc = goes_on(meeting, ours, &theirs->tip, &more, err)) != 0 || !more)
			return rc;
		update->old = theirs->tip;
	}
	log_format_head(pushes->refs[pushes->count], &ours->log);
	update->ref = pushes->refs[pushes->count];
	update->tip = ours->tip;
	pushes->offers[pushes->count++] = ours;
	return 0;
}

/* What became of a push. */
static int settle_push(
    struct meeting *meeting, const struct peer_update *update, const struct offer *ours, struct qosid_errbuf *err)
{
	struct exchange_report *report = &meeting->exchange->report;
	char ref[LOG_REF_SIZE];

	if (update->answer == PEER_REFUSED)
		return note_damage(meeting, ours, &update->fault, err);
	if (update->answer == PEER_UNASKED && update->fault.code != 0 && err != NULL)
		*err = update->fault;
	if (update->answer == PEER_UNASKED)
		return update->fault.code;
	if (update->answer == PEER_MOVED) /* somebody else was quicker; the next meeting sees what they brought */
		return 0;
	report->logs_pushed++;
	report->commits_pushed += update->stats.commits;
	report->bytes_pushed += update->stats.bytes;
	log_format_remote(ref, &ours->log, meeting->remote);
	return set_ref(meeting->exchange->repo, ref, &ours->tip, err);
}

/* Small records go first, large attachments after them, or not at all. */
static int pushes_add_all(
    struct pushes *pushes, const struct meeting *meeting, const struct offers *ours, struct qosid_errbuf *err)
{
	bool files = meeting->exchange->files != EXCHANGE_FILES_NEVER;
	int rc = 0;

	for (int turn = 0; rc == 0 && turn < (files ? 2 : 1); turn++) {
		for (size_t i = 0; rc == 0 && i < ours->count; i++) {
			if ((ours->items[i].log.kind == LOG_FILES) == (turn == 1))
				rc = pushes_add(pushes, meeting, &ours->items[i], err);
		}
	}
	return rc;
}

/* Archives go before the logs, so that no generation leaves a remote before its archive is there. */
static int push_archives(struct meeting *meeting, const char *prefix, struct qosid_errbuf *err)
{
	struct exchange *exchange = meeting->exchange;
	struct offers ours = {.archives = true};
	int rc = list_offers(exchange->repo, prefix, &ours, err);

	for (size_t i = 0; rc == 0 && exchange->generations.keep && i < ours.count; i++) {
		const struct offer *archive = &ours.items[i];
		const struct offer *theirs = find_archive(&meeting->archives, &archive->log, archive->generation);
		struct peer_update update = {.tip = archive->tip};
		char ref[ARCHIVE_REF_SIZE];

		if (theirs != NULL && (git_oid_equal(&theirs->tip, &archive->tip) ||
					  !is_left_behind(exchange, &archive->log, &archive->tip)))
			continue; /* what stands there under the name of a generation long past stays */
		(void)snprintf(ref, sizeof(ref), "refs/heads/archive/%s/%lld", archive->log.office,
		    (long long)archive->generation);
		update.ref = ref;
		if (theirs != NULL)
			update.old = theirs->tip;
		/* What of our own copy is damaged `qosid verify` tells; the logs must go on. */
		if (peer_is_damage(rc = peer_push(meeting->peer, &update, 1, err)))
			rc = 0;
		exchange->report.bytes_pushed += update.stats.bytes;
	}
	free(ours.items);
	return rc;
}

/* A log whose copy here is damaged must not keep the others from being carried: its failure is returned at the end. */
static int push_all(struct meeting *meeting, struct qosid_errbuf *err)
{
	struct offers ours = {0};
	struct pushes pushes = {0};
	int rc, failed, settled;

	if ((rc = push_archives(meeting, "refs/heads/", err)) != 0 ||
	    (rc = push_archives(meeting, "refs/qosid/verified/", err)) != 0 ||
	    (rc = list_offers(meeting->exchange->repo, "refs/heads/", &ours, err)) != 0 ||
	    (rc = list_offers(meeting->exchange->repo, "refs/qosid/verified/", &ours, err)) != 0 ||
	    (rc = pushes_make(&pushes, ours.count, err)) != 0 ||
	    (rc = pushes_add_all(&pushes, meeting, &ours, err)) != 0)
		goto out;
	failed = peer_push(meeting->peer, pushes.updates, pushes.count, err);
	for (size_t i = 0; i < pushes.count; i++) {
		settled = settle_push(meeting, &pushes.updates[i], pushes.offers[i], failed == 0 ? err : NULL);
		failed = failed == 0 ? settled : failed;
		exchange_report_progress(meeting->exchange, "push", i + 1, pushes.count);
	}
	rc = failed;
out:
	pushes_free(&pushes);
	free(ours.items);
	return rc;
}

/* Publishing may be refused while everything else goes on: then the reason is a finding about the own log. */
static int publish(struct meeting *meeting, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};
	struct log log;
	int rc = exchange_publish(meeting->exchange, &fault);

	if (rc == 0)
		rc = generation_check(meeting->exchange, &fault);
	log_init(&log, LOG_OFFICE, meeting->exchange->office);
	if (rc == QOSID_ERR_REFUSED)
		return exchange_note_finding(
		    meeting->exchange, &log, EXCHANGE_OWN_REPOSITORY, 0, NULL, "publish", false, &fault, err);
	if (rc != 0 && err != NULL)
		*err = fault;
	return rc;
}

int exchange_meet(struct exchange *exchange, const char *remote, const struct link_target *target,
    const struct link_limits *limits, struct qosid_errbuf *err)
{
	static const struct link_limits defaults;
	struct meeting meeting = {.exchange = exchange,
	    .remote = remote,
	    .offers = {.prefix = strlen("refs/heads/")},
	    .archives = {.prefix = strlen("refs/heads/"), .archives = true}};
	int rc;

	if ((rc = peer_open(&meeting.peer, target, limits != NULL ? limits : &defaults, exchange->repo, err)) != 0 ||
	    (rc = take_over(exchange, err)) != 0 ||
	    (rc = peer_visit_refs(meeting.peer, add_any_offer, &meeting, err)) != 0 ||
	    (rc = fetch_all(&meeting, err)) != 0 || (rc = publish(&meeting, err)) != 0 ||
	    (rc = push_all(&meeting, err)) != 0)
		(void)qosid_error_within(err, "remote %s", remote);
	else
		peer_settle(meeting.peer);
	free(meeting.offers.items);
	free(meeting.archives.items);
	peer_close(meeting.peer);
	return rc;
}

static int fetch_wanted(struct meeting *meeting, struct qosid_errbuf *err)
{
	const struct offer *offer;
	struct log log;
	size_t done = 0;
	int rc = take_rosters(meeting, &done, err); /* the files may name a state that is not here */

	log_init(&log, LOG_FILES, meeting->wanted->office);
	offer = find_offer(&meeting->offers, &log);
	return rc != 0 || offer == NULL ? rc : take_offer(meeting, offer, err);
}

int exchange_fetch_file(struct exchange *exchange, const char *remote, const struct link_target *target,
    const struct link_limits *limits, const struct exchange_wanted *wanted, bool *found, struct qosid_errbuf *err)
{
	struct meeting meeting = {
	    .exchange = exchange, .remote = remote, .offers = {.prefix = strlen("refs/heads/")}, .wanted = wanted};
	int rc;

	*found = false;
	if ((rc = peer_open(&meeting.peer, target, limits, exchange->repo, err)) != 0 ||
	    (rc = peer_visit_refs(meeting.peer, add_offer, &meeting.offers, err)) != 0 ||
	    (rc = fetch_wanted(&meeting, err)) != 0 ||
	    (rc = attachment_find(exchange->replica, wanted->digest, found, NULL, err)) != 0)
		(void)qosid_error_within(err, "remote %s", remote);
	free(meeting.offers.items);
	peer_close(meeting.peer);
	return rc;
}
