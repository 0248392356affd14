/*
 * Replication with CouchDB and everything that speaks its protocol: PouchDB Server, Cloudant, another Qosid.
 *
 * Both ends of a replication are either a replica here or a peer reached over HTTP. Every leaf replicates, conflicts
 * and tombstones too, with the ids it has. What has been written is noted in a checkpoint on both ends in CouchDB's
 * form, after it is durable there, so a replication that was stopped anywhere goes on where it was, and repeating one
 * does nothing twice.
 *
 * A peer is not trusted. Certificates are always verified, redirects never followed; every answer has a size cap and a
 * time limit; what a peer says is parsed, checked and only then stored, in transactions that hold no lock while the
 * network is waited for. Memory is bounded by the batch (some tens of MiB), attachments go through an unlinked file.
 * A document that breaks Qosid's rules is counted and left out; it does not stop the others.
 *
 * Revisions that arrive in a replica are pending publication in this office's log, with "couchdb:<host>/<database>" as
 * their user, so that an auditor sees where they came from.
 */
#ifndef QOSID_SYNC_COUCH_COUCH_H
#define QOSID_SYNC_COUCH_COUCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/replica/replica.h"

/* How to reach a database. All strings stay the caller's. Zero means the default. */
struct couch_peer {
	const char *url;            /* http(s)://[user:password@]host[:port]/[path/]database */
	const char *user;           /* NULL: as the url says, or nobody */
	const char *password;       /* "" when NULL */
	const char *const *headers; /* further "Name: value" lines, NULL-terminated, or NULL */
	const char *ca_file;        /* PEM certificates to trust; NULL: the system's */
	const char *proxy;          /* NULL: what the environment says; "": none */
	unsigned connect_timeout_s; /* 20 */
	unsigned idle_timeout_s;    /* 60: without a byte either way the request has failed */
	unsigned attempts;          /* 6: how often a request is made before the peer counts as offline */
	unsigned backoff_ms;        /* 500: wait before the second attempt; doubles, with jitter, up to 30 s */
};

/* The end of a replication: exactly one of the two. */
struct couch_end {
	struct replica *replica;
	const struct couch_peer *peer;
};

/* What a replication has done so far. */
struct couch_report {
	char id[65]; /* the replication's id: names the checkpoints */
	char session[33];
	int64_t start_time; /* Unix milliseconds */
	int64_t end_time;
	int64_t checked;     /* revisions that the source has named */
	int64_t missing;     /* that the target lacked */
	int64_t read;        /* documents read from the source */
	int64_t written;     /* stored at the target */
	int64_t denied;      /* refused by the target as unauthorized or forbidden */
	int64_t failed;      /* left out because they break a rule; denied ones are counted here too, as CouchDB does */
	int64_t waiting;     /* not sent: the content of an attachment has not arrived here yet */
	int64_t attachments; /* contents transferred */
	bool changed;        /* something was new: a checkpoint was written */
	bool cancelled;
	struct qosid_buf since;   /* JSON: the source's sequence where it began */
	struct qosid_buf through; /* JSON: and as far as it has come */
	struct qosid_buf history; /* JSON array as in the checkpoint, newest first */
};
void couch_report_free(struct couch_report *report);

/* What there is to say while it runs. Called on the replicating thread; any may be NULL. */
struct couch_listener {
	void (*progress)(void *context, const struct couch_report *report);
	/* A document was left out, and why. */
	void (*refused)(void *context, const char *id, const char *rev, const struct qosid_errbuf *reason);
	/* Continuous only: the peer is offline, the next attempt is in so many ms (0: it is back). */
	void (*offline)(void *context, const struct qosid_errbuf *reason, int64_t wait_ms);
	/* Something has been committed to the target replica. */
	void (*committed)(void *context);
	void *context;
};

struct couch_options {
	struct couch_end source;
	struct couch_end target;
	bool continuous;
	bool create_target;         /* a peer's database is made when it is not there */
	const char *const *doc_ids; /* only these; NULL-terminated, or NULL */
	const char *selector;       /* a Mango selector as JSON, or NULL; matched where the source is */
	const char *filter;         /* "design/filter" of a remote source, or NULL */
	const char *query_params;   /* JSON object of strings for the filter, or NULL */
	const char *since_seq;      /* JSON; begin after this whatever the checkpoint says, or NULL */
	bool no_checkpoints;        /* neither read nor write them */
	bool winning_revs_only;     /* leave conflicts out */
	unsigned changes_batch;     /* 500: changes asked for at once */
	unsigned documents_batch;   /* 100: revisions asked for, or sent, at once */
	const char *scratch;        /* folder for attachments on their way; NULL: /var/tmp */
	const atomic_bool *cancel;  /* set: it ends within about a second; NULL: never */
	struct couch_listener listener;
};

/* Replicate. One-shot: until the target has what the source had; continuous: until cancelled, through any time without
 * connection. Fills report (which starts as {0}) also when it fails. QOSID_ERR_OFFLINE: the peer cannot be reached;
 * QOSID_ERR_REFUSED: it wants other credentials, or has no certificate that holds; QOSID_ERR_NOTFOUND: no such
 * database; QOSID_ERR_INVALID: it does not speak CouchDB's protocol. When cancelled it returns 0 with
 * report->cancelled. */
int couch_replicate(const struct couch_options *options, struct couch_report *report, struct qosid_errbuf *err);

/* Read "user:password" from the first line of a file into buf (NUL between the two); the caller wipes buf. The file
 * must not be readable by others. */
int couch_read_credentials(
    const char *path, struct qosid_buf *buf, const char **user, const char **password, struct qosid_errbuf *err);

/* An address as it may be shown and logged: without user and password. */
int couch_format_address(const char *url, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
