/*
 * Links: a conversation with git on another machine, over ssh or https, that can neither hang nor flood.
 *
 * A link speaks with one service of one repository, "git-upload-pack" or "git-receive-pack". What is said is the wire
 * protocol's business (wire.h); a link moves bytes. ssh is the system's own OpenSSH in a child process, so that its
 * agent, its keys, its known_hosts and its config are those the administrator knows; https is libcurl. Both keep to the
 * same promises:
 *
 * - silence costs at most limits.idle_seconds, everything together at most limits.total_seconds (QOSID_ERR_OFFLINE);
 * - a stop asked for through limits.cancel takes effect within a second, in the middle of anything
 * (QOSID_ERR_CANCELLED);
 * - bytes are counted both ways as the link carries them, and kept below limits.rate where one is set;
 * - a host whose key or certificate is not known and right is never spoken to (QOSID_ERR_REFUSED).
 *
 * The order of calls: link_open, read the greeting to its end, then any number of rounds of link_write...,
 * link_turn, link_read... to the end of the answer. Over ssh a round goes into the same pipe; over https it is one
 * POST, and whatever the server must know again is repeated by the caller (protocol v2 is stateless).
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_H
#define QOSID_SYNC_EXCHANGE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"

struct link_limits {
	unsigned idle_seconds;  /* longest silence of the other side; 0: LINK_IDLE_SECONDS */
	unsigned total_seconds; /* longest life of the link; 0: LINK_TOTAL_SECONDS */
	uint64_t rate_up;       /* bytes a second; 0: as fast as it goes */
	uint64_t rate_down;
	bool (*cancel)(
	    void *context); /* asked at least once a second; may be NULL; may be called from no other thread */
	void *context;
};

#define LINK_IDLE_SECONDS 60
#define LINK_TOTAL_SECONDS 3600

/* Bytes as the link carried them: TLS and HTTP heads included for https, without ssh's own framing for ssh. */
struct link_traffic {
	uint64_t up, down;
	unsigned round_trips;
};

/* Where a remote is and how one shows oneself there; read from the space's config by its owner. Strings are borrowed
 * for the life of the link; NULL: not set. */
struct link_target {
	const char *url;         /* ssh://[user@]host[:port]/path, user@host:path, https://host[:port]/path */
	const char *ssh_key;     /* file; NULL: the agent and OpenSSH's defaults */
	const char *known_hosts; /* file of the space's own; hosts in it have been confirmed by a person */
	const char *ca_file;     /* PEM; NULL: the system's */
	const char *client_cert; /* PEM, and its key */
	const char *client_key;
	const char *token_file;        /* 0600: "user:token" or a bearer token */
	const char *credential_helper; /* a git credential helper's name or path */
	const char *proxy;
};

enum link_scheme { LINK_FOLDER, LINK_SSH, LINK_HTTPS };

/* What a URL asks for. QOSID_ERR_USAGE for schemes that are not spoken (http:// and git:// among them: neither keeps
 * out a listener), for control characters, options in disguise ("-oProxyCommand=..") and passwords in the URL. */
int link_parse_url(const char *url, enum link_scheme *scheme, struct qosid_errbuf *err);

/* ---- finding out what works (link_open.c, link_hostkey.c) ---- */

/* Each is reached when all before it are. */
enum link_stage {
	LINK_STAGE_START,
	LINK_STAGE_NAME,       /* the name of the host (or of the proxy) resolves */
	LINK_STAGE_CONNECT,    /* it answers */
	LINK_STAGE_HOST,       /* its key or certificate is known and right */
	LINK_STAGE_LOGIN,      /* it lets this office in */
	LINK_STAGE_REPOSITORY, /* and git speaks for the repository */
};

struct link_probe {
	enum link_stage stage; /* reached */
	bool host_unknown;     /* ssh: no key of this host has been confirmed yet */
	bool clock_known;      /* https: the server said what time it is */
	int64_t clock_skew;    /* seconds its clock is ahead of ours */
	char version[8];       /* of HTTP: "1.1", "2"; "" for ssh */
};

/* As link_open() and link_close(); *probe is set also when it fails. */
int link_try(const struct link_target *target, const char *service, const struct link_limits *limits,
    struct link_probe *probe, struct qosid_errbuf *err);

/* A host's key before it is trusted. */
struct link_host_key {
	char type[64];        /* "ssh-ed25519" */
	char fingerprint[64]; /* "SHA256:..", as ssh-keygen -l shows it */
	char line[4096];      /* for a known_hosts file, with its line feed */
};

/* Ask an ssh host for its key, over the way that links to it take, trusting nothing. */
int link_fetch_host_key(struct link_host_key *out, const struct link_target *target, const struct link_limits *limits,
    struct qosid_errbuf *err);

/* Add a key that a person has confirmed to target->known_hosts; on disk when it returns 0. */
int link_trust_host_key(const struct link_target *target, const struct link_host_key *key, struct qosid_errbuf *err);

/* Make an empty bare repository where an ssh URL points. QOSID_ERR_REFUSED: the server lets nobody run git init. */
int link_create_repository(
    const struct link_target *target, const struct link_limits *limits, struct qosid_errbuf *err);

/* ---- talking ---- */

struct link;

/* Connect and ask for the service with git protocol version 2 offered (GIT_PROTOCOL, Git-Protocol). The greeting can be
 * read when it returns; of https, the "# service=" head is part of it as the server sent it. limits is copied. */
int link_open(struct link **out, const struct link_target *target, const char *service,
    const struct link_limits *limits, struct qosid_errbuf *err);
void link_close(struct link *link); /* ends the child, if any; accepts NULL */

/* Read up to size bytes. *got 0: the answer (https), or the conversation (ssh), is over. */
int link_read(struct link *link, void *out, size_t size, size_t *got, struct qosid_errbuf *err);

/* Add to what is asked next. May send at once (ssh) or collect and stream (https). */
int link_write(struct link *link, const void *data, size_t len, struct qosid_errbuf *err);

/* The question is complete: what follows is read. */
int link_turn(struct link *link, struct qosid_errbuf *err);

/* Whether each round stands alone (https) or the server remembers (ssh). */
bool link_is_stateless(const struct link *link);

void link_read_traffic(const struct link *link, struct link_traffic *out);

#endif
