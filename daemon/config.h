/*
 * The daemon's configuration: a file in git-config syntax, read by libgit2 (include.path works as in git).
 *
 *     [daemon]
 *         interval = 15m
 *     [space "register"]
 *         path = /var/lib/qosid/register
 *
 * docs/man/qosidd.conf.5 lists the keys. An unknown key or a bad value is an error that names file, line and key;
 * nothing is ignored in silence.
 */
#ifndef QOSID_DAEMON_CONFIG_H
#define QOSID_DAEMON_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"
#include "daemon/schedule.h"
#include "sync/limits.h"

/* One space to serve. Plain data: copied by assignment. */
struct config_space {
	char name[LIMIT_SLUG_BYTES + 1]; /* what the log calls it */
	char path[PATH_MAX];             /* absolute */
	char passphrase_file[PATH_MAX];  /* "": none */
	char credential[NAME_MAX + 1];   /* a file in $CREDENTIALS_DIRECTORY; "": none */
	struct schedule_timing timing;
};

/* The HTTP API. Lists end with NULL, and are NULL when empty. */
struct config_http {
	bool enabled;     /* the section is there */
	bool open;        /* whoever comes over loopback is administrator */
	bool listen_set;  /* address and port were given, not taken by default */
	char address[46]; /* "": no TCP */
	uint16_t port;
	char socket[PATH_MAX]; /* a unix socket; "": none */
	char data_dir[PATH_MAX];
	char **hosts;
	char **origins;
	uint64_t body_max; /* 0: the server's default */
};

struct config {
	struct config_space *spaces;
	size_t count;
	struct config_http http;
};

/* Read a file. Every fault of the file is QOSID_ERR_USAGE, and *out stays as it was. libgit2 must be initialised. */
int config_load(struct config *out, const char *path, struct qosid_errbuf *err);
void config_free(struct config *config); /* accepts {0} */

const struct config_space *config_find(const struct config *config, const char *name);
bool config_http_equal(const struct config_http *a, const struct config_http *b);
bool config_space_equal(const struct config_space *a, const struct config_space *b);

#endif
