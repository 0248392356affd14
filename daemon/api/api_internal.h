/*
 * Shared by the files that make up the CouchDB API: the state of one server, and the few functions by which families of
 * endpoints use each other.
 *
 * Names of small stored things (replica_put_local()): those of clients' _local documents begin with "_local/" and are
 * the only ones that HTTP shows; those of the API itself begin with "_api/" ("_api/security", "_api/password/..").
 */
#ifndef QOSID_DAEMON_API_INTERNAL_H
#define QOSID_DAEMON_API_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "daemon/api/api.h"
#include "sync/replica/json.h"

#define API_COUCHDB_VERSION "3.5.0" /* whose behaviour is followed */
#define API_USERS "_users"
#define API_REPLICATOR "_replicator"

struct api_databases; /* database.c: which there are, their mutexes, and each worker's open replicas */
struct replicator;    /* replicator.h */
struct api_users;     /* users.c: sessions, passwords, administrators */
struct scripts;       /* scripts.h: processes for design functions */

struct api {
	const struct config *config;
	char data_dir[PATH_MAX]; /* "": none */
	unsigned workers;
	bool open; /* whoever comes over loopback is administrator */
	const struct journal *journal;
	struct http_server *server;
	char uuid[33];
	int64_t started; /* Unix milliseconds */
	struct api_databases *databases;
	struct api_users *users;
	struct replicator *replicator;
	struct api_views *views; /* views.h */
	struct scripts *scripts;
};

/* ---- database.c ---- */

/* Set api->databases up, in api_create() after data_dir exists; and down. _users and _replicator are databases in the
 * data folder like others, made when they are first opened, not removable; api_check_database_name() accepts them. */
int api_databases_create(struct api *api, struct qosid_errbuf *err);
void api_databases_free(struct api *api); /* accepts that it was never set up */

/* Where a database lies, and making one, for threads that serve no call. As api_open_database() and
 * api_create_database(). */
int api_locate_database(struct api *api, const char *name, char dir[PATH_MAX], struct qosid_errbuf *err);
int api_make_database(struct api *api, const char *name, struct qosid_errbuf *err);

/* Append the object that GET /{db} answers; for _dbs_info too. */
int api_append_database_info(struct api_database *database, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- security.c ---- */

/* Append the security object, or CouchDB's default. */
int api_read_security(struct api_database *database, struct qosid_buf *out, struct qosid_errbuf *err);

/* 0 for an administrator of the server; otherwise answered with 401. */
int api_need_server_admin(struct http_call *call);

/* As api_authorize() for administrators, without an answer. */
bool api_is_administrator(struct http_call *call, struct api_database *database);

/* ---- users.c ---- */

/* What is written to the database _users goes through here first, on every way in (PUT, POST, _bulk_docs, COPY), inside
 * the write transaction: checks that the caller may write this document and that it is a proper user document, and
 * appends the document to store, with the hash of "password" put away and "password" gone. A deletion is checked only.
 * QOSID_ERR_REFUSED (403 forbidden) and QOSID_ERR_INVALID (400) with a text for the client. */
bool api_is_users(const struct api_database *database);
int api_users_prepare(struct http_call *call, struct api_database *database, struct json_slice document,
    struct qosid_buf *out, struct qosid_errbuf *err);

/* Whether the caller may read this user's document (an administrator, or the user): otherwise it is "missing" to him.
 * Lists of _users (_all_docs, _changes, _find, _bulk_get) are for administrators, by api_authorize(admin). */
bool api_users_may_read(const struct http_call *call, const char *id);

#endif
