/*
 * A space as a program uses it: a folder that holds one office's replica, its repository, its identity and its
 * settings.
 *
 *     DIR/config        git-config syntax: [space] id, office, steward, root; [identity] file; [remote "name"] url..
 *     DIR/known_hosts   keys of ssh hosts that a person has confirmed, in OpenSSH's format
 *     DIR/replica.db    the replica (SQLite)
 *     DIR/log.git       the bare repository
 *     DIR/identity      the office's keys (keys.h), mode 0600
 *     DIR/lock          held (flock) while publishing, applying or changing the roster
 *
 * The CLI and the daemon are two users of this header; both may have the same space open at once.
 */
#ifndef QOSID_SYNC_SPACE_H
#define QOSID_SYNC_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "crypto/keys.h"
#include "sync/exchange/bundle.h"
#include "sync/exchange/exchange.h"
#include "sync/replica/replica.h"
#include "sync/roster/roster.h"

struct space;

/* How a program asks for the identity's passphrase; see identity_passphrase_fn. May be {0}. */
struct space_unlock {
	identity_passphrase_fn ask;
	void *context;
};

/* ---- making and opening (space.c) ---- */

/* Make a new space in dir (which must be absent or empty) with this office as its steward, writer and reader: identity,
 * epoch 1, the first roster operation. passphrase NULL: identity in clear (0600). */
int space_create(const char *dir, const char *office, const char *passphrase, struct qosid_errbuf *err);

/* Prepare to join: identity, pinned root, remote "origin" when the invitation names one. Appends the request for the
 * steward. */
int space_join(const char *dir, const char *office, const struct roster_invitation *invitation, const char *passphrase,
    struct qosid_buf *request, struct qosid_errbuf *err);

/* Open; dir or a parent of it holds the space when search is true (as git does). The identity is loaded only when first
 * needed. */
int space_open(
    struct space **out, const char *dir, bool search, const struct space_unlock *unlock, struct qosid_errbuf *err);
void space_close(struct space *space); /* accepts NULL */

const char *space_dir(const struct space *space);
const char *space_office(const struct space *space);
const char *space_id(const struct space *space); /* 32 hex */
struct replica *space_replica(struct space *space);
const struct roster *space_roster(struct space *space); /* verified; empty for a joiner who has not synced yet */
int space_identity(struct space *space, const struct identity **out, struct qosid_errbuf *err);
/* Public halves without the passphrase: "ssh-ed25519 ..", "age1..", the fingerprint words. */
int space_public_keys(struct space *space, struct qosid_buf *ssh, struct qosid_buf *recipient, struct qosid_buf *words,
    struct qosid_errbuf *err);

/* ---- remotes (space_remote.c, space_probe.c) ---- */

/* How a remote is reached; what is not set is NULL or 0. Of limits only seconds and rates are settings. */
#define SPACE_REMOTE_TEXTS 8
struct space_remote {
	struct link_target target;
	struct link_limits limits;
	enum exchange_files files;
	char *owned[SPACE_REMOTE_TEXTS], *known_hosts; /* what space_read_remote() and space_place_remote() made */
};
int space_read_remote(struct space *space, const char *name, struct space_remote *out, struct qosid_errbuf *err);
void space_remote_free(struct space_remote *remote); /* accepts {0} */

/* Fill in the space's own file of confirmed ssh hosts, DIR/known_hosts. */
int space_place_remote(struct space *space, struct space_remote *remote, struct qosid_errbuf *err);

/* Store the settings of a new remote; file names in it must be absolute. Nothing is reached. QOSID_ERR_EXISTS. */
int space_put_remote(
    struct space *space, const char *name, const struct space_remote *remote, struct qosid_errbuf *err);

/* Store a folder (absolute, or relative to the current directory; stored absolute). create_repository makes the bare
 * repository when it is absent. */
int space_add_remote(
    struct space *space, const char *name, const char *url, bool create_repository, struct qosid_errbuf *err);

/* Try a remote out, one thing after the other; what depends on one that fails is not tried. Nothing is changed there.
 * Returns the code of the first check that failed, with err filled. */
struct space_check {
	const char
	    *name; /* "settings", "name", "connection", "host", "login", "repository", "write", "logs", "clock" */
	bool good;
	bool host_unknown; /* ssh: link_fetch_host_key(), a person, and link_trust_host_key() may mend it */
	const char *text;  /* what is or is not so, one sentence */
	const char *hint;  /* what to do about it; "" when there is nothing to say */
};
int space_test_remote(struct space *space, const struct space_remote *remote,
    int (*visit)(void *context, const struct space_check *check, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* Change whether files logs go over a remote, and the words for it: "always", "on-demand", "never". */
int space_set_remote_files(struct space *space, const char *name, enum exchange_files files, struct qosid_errbuf *err);
int space_parse_files(enum exchange_files *out, const char *word, struct qosid_errbuf *err);

/* Also forgets what was found there and what was seen of its logs; what was verified stays. QOSID_ERR_BUSY while
 * another process is exchanging. */
int space_remove_remote(struct space *space, const char *name, struct qosid_errbuf *err);
int space_visit_remotes(struct space *space,
    int (*visit)(void *context, const char *name, const char *url, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* ---- own keys (space_keys.c, space_passphrase.c) ---- */

/* Make new keys for this office and append the request for the stewards (roll_format()); when that has been done
 * already, the same one again. They are used from when the roster names them. passphrase NULL: in clear. */
int space_roll_keys(struct space *space, const char *passphrase, struct qosid_buf *request, struct qosid_errbuf *err);

/* Give this office's key files a passphrase, another one, or none: those in use, and those of keys that have been
 * replaced. Each file is replaced in one step; after a crash some have the new passphrase, and the same call again
 * finishes. SET is QOSID_ERR_EXISTS when all have one; CHANGE and REMOVE are QOSID_ERR_NOTFOUND when none has, which
 * space_check_passphrase() tells before anybody is asked. old is NULL for SET, passphrase for REMOVE. */
enum space_passphrase { SPACE_PASSPHRASE_SET, SPACE_PASSPHRASE_CHANGE, SPACE_PASSPHRASE_REMOVE };
struct space_passphrase_result {
	size_t changed;
	size_t foreign; /* files of replaced keys that yet another passphrase protects, left as they are */
};
int space_check_passphrase(struct space *space, enum space_passphrase action, struct qosid_errbuf *err);
int space_change_passphrase(struct space *space, enum space_passphrase action, const char *old, const char *passphrase,
    struct space_passphrase_result *result, struct qosid_errbuf *err);

/* ---- membership (membership.c); steward only, QOSID_ERR_REFUSED otherwise ---- */

/* What became of an operation: with a threshold, it may wait for others. */
struct space_outcome {
	uint8_t operation[DIGEST_BYTES];
	bool waits;
	size_t endorsed;
	int64_t needed;
	int64_t epoch; /* that it starts when it takes effect; 0: none */
};

int space_invite(struct space *space, struct roster_invitation *out, struct qosid_errbuf *err);
/* Admit the member of a parsed request with these roles. from_now: it gets no key of an earlier epoch, and a new one
 * starts. outcome may be NULL. */
int space_admit(struct space *space, const struct roster_member *member, unsigned roles, bool from_now,
    struct space_outcome *outcome, struct qosid_errbuf *err);

/* Change a member's roles; who loses the right to read, or is removed, costs a new epoch. */
int space_set_roles(struct space *space, const char *office, unsigned roles, bool from_now,
    struct space_outcome *outcome, struct qosid_errbuf *err);
int space_remove(struct space *space, const char *office, struct space_outcome *outcome, struct qosid_errbuf *err);

/* Start a new epoch. */
int space_rotate(struct space *space, struct space_outcome *outcome, struct qosid_errbuf *err);

/* New keys of a member (roll_parse()); proof NULL: the steward vouches for them. */
int space_replace_keys(struct space *space, const struct roster_member *member, const char *proof,
    struct space_outcome *outcome, struct qosid_errbuf *err);

/* How many stewards an operation takes from now on. */
int space_set_threshold(
    struct space *space, int64_t threshold, struct space_outcome *outcome, struct qosid_errbuf *err);

/* Endorse the operation that waits and whose digest begins with these hexadecimal digits (8 or more). */
int space_endorse(struct space *space, const char *digits, struct space_outcome *outcome, struct qosid_errbuf *err);

/* Quarantine what an office published from a change set on. */
int space_revoke(
    struct space *space, const char *office, int64_t since, struct space_outcome *outcome, struct qosid_errbuf *err);

/* ---- exchange (exchange/exchange.c) ---- */

/* Publish what is pending into the own log. Also part of every exchange. */
int space_publish(struct space *space, const struct exchange_progress *progress, struct exchange_report *report,
    struct qosid_errbuf *err);

/* One meeting with one remote: fetch, verify, apply, publish, push. Findings do not fail it: they are in the report, in
 * the replica's findings and in the status. It fails when the remote cannot be reached (QOSID_ERR_OFFLINE), another
 * process is exchanging (QOSID_ERR_BUSY), or this office's own data is in danger. */
int space_exchange(struct space *space, const char *remote, const struct exchange_progress *progress,
    struct exchange_report *report, struct qosid_errbuf *err);

/* Fetch the content of an attachment from a remote, out of the files log of an office that carries it
 * (attachment_visit_absent()), with no more of that log than leads to it. *found false: that log is not there, or does
 * not hold it yet. QOSID_ERR_REFUSED: the remote is set never to carry files. */
int space_fetch_file(struct space *space, const char *remote, const struct exchange_wanted *wanted,
    const struct exchange_progress *progress, struct exchange_report *report, bool *found, struct qosid_errbuf *err);

/* Write a bundle of what this office has verified (exchange/bundle.h); publish first what is to be in it. */
int space_create_bundle(struct space *space, const char *path, const char *recipient,
    const struct exchange_progress *progress, struct bundle_summary *summary, struct qosid_errbuf *err);

/* When this office's log begins a new generation, and what becomes of the old one (space_generation.c). */
int space_read_generations(struct space *space, struct exchange_generations *out, struct qosid_errbuf *err);
int space_write_generations(struct space *space, const struct exchange_generations *settings, struct qosid_errbuf *err);

/* Begin one now (exchange_restart() says what may be in the way). */
int space_restart(struct space *space, const struct exchange_progress *progress, struct exchange_report *report,
    struct qosid_errbuf *err);

/* One log's state, for `status` and `log`. */
struct space_log {
	const char *name;   /* "office/khujand" */
	int64_t sequence;   /* verified and applied */
	int64_t time;       /* of the last applied commit, Unix seconds */
	const char *commit; /* hex */
	bool own;
	int64_t generation; /* of an office log; 0 when nothing of it is here */
	int64_t begins;     /* sequence of its first change set */
	size_t archives;    /* how many generations before it are kept here */
};
int space_visit_logs(struct space *space,
    int (*visit)(void *context, const struct space_log *log, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* One change set of the history as far back as it is kept here, newest first over all logs by time, or of one office
 * only (office NULL: all). */
struct space_entry {
	const char *log;
	const char *office;
	int64_t sequence;
	int64_t generation;
	int64_t time;
	const char *commit;
	const char *subject;
};
int space_visit_history(struct space *space, const char *office, size_t limit,
    int (*visit)(void *context, const struct space_entry *entry, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* Verify everything from the pinned root again: every signature, chain, right, payload hash; with decrypt also every
 * payload and line, and that the replica holds each revision. Findings are visited (see replica_finding); *proof says
 * how much was proved: current generations only, or the full history. */
int space_verify(struct space *space, bool decrypt, const struct exchange_progress *progress,
    int (*visit)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err), void *context,
    struct exchange_proof *proof, struct qosid_errbuf *err);

/* Forget what was found about a log ("office/khujand", "office/khujand@origin"; NULL: about all, but only what stops no
 * log), once a person has looked at it. QOSID_ERR_NOTFOUND: nothing was found about that log. A second history of an
 * office is found again at the next exchange. */
int space_forget_warnings(struct space *space, const char *log, struct qosid_errbuf *err);

/* ---- signers (space_signers.c) ---- */

/* Append the allowed_signers file that stock `git verify-commit` and `ssh-keygen -Y` use: every key that ever signed
 * for an office. Keys that have been replaced, or whose office has been removed, are bounded in time, by what the
 * roster says and by what they have signed that is valid here. */
int space_format_allowed_signers(struct space *space, struct qosid_buf *out, struct qosid_errbuf *err);

/* Append an epoch's key as an age identity file (for `age -d -i`); the caller wipes out. */
int space_export_epoch_key(struct space *space, int64_t epoch, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
