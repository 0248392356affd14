/*
 * The CouchDB 3.x HTTP API over spaces: what each URL means. One file a family of endpoints; api.c dispatches by
 * segments.
 *
 * A database is a space: one that the configuration names (database name = the space's name there), or one made by PUT
 * /{db} in the data folder (a space of its own, with this office as its steward). Every worker thread keeps its own
 * open replicas, since struct replica is not thread-safe; writes of one database are serialised by a mutex, so that
 * SQLite is never waited for in a busy loop.
 */
#ifndef QOSID_DAEMON_API_API_H
#define QOSID_DAEMON_API_API_H

#include <stdbool.h>

#include "crypto/error.h"
#include "daemon/config.h"
#include "daemon/http/http.h"
#include "daemon/journal.h"
#include "sync/replica/replica.h"

struct api;

struct api_options {
	const struct config *config; /* spaces that are databases */
	const char *data_dir; /* for databases made over HTTP, the server's uuid, _users; NULL: none can be made */
	unsigned workers;     /* as in http_options */
	bool open; /* whoever comes over loopback is administrator: for tests and for a machine of one's own only */
	const struct journal *journal;
};

int api_create(struct api **out, const struct api_options *options, struct qosid_errbuf *err);
void api_free(struct api *api);

/* The handler for http_options; its context is the struct api. */
int api_handle(struct http_call *call, struct qosid_errbuf *err);

/* Make an administrator of the server, or change his password. */
int api_add_admin(const char *data_dir, const char *name, const char *password, struct qosid_errbuf *err);

/* Tell the api its server, for wake-ups, before the first request. */
void api_set_server(struct api *api, struct http_server *server);

/* End what runs in the background and wakes feeds: to be called before http_server_stop(), as api_free() is after it.
 * Accepts NULL. */
void api_stop(struct api *api);

/* ---- databases (database.c) ---- */

/* A database as one worker has it open. Valid until api_release_database() on the same thread. */
struct api_database {
	struct api *api;
	const char *name;
	const char *dir;
	struct replica *replica;
	bool removable;       /* made by PUT */
	const char *instance; /* marks its sequences: "N-<instance>" */
	struct views *views;  /* its indexes (views.h); NULL until first used */
};

/* QOSID_ERR_NOTFOUND: "Database does not exist." */
int api_open_database(struct http_call *call, const char *name, struct api_database **out, struct qosid_errbuf *err);
void api_release_database(struct http_call *call, struct api_database *database);

/* Hold the database's write mutex around a transaction: begin, do, commit or rollback, wake the feeds. */
int api_begin_write(struct api_database *database, struct qosid_errbuf *err);
int api_commit_write(struct api_database *database, struct qosid_errbuf *err);
void api_abort_write(struct api_database *database);

int api_create_database(struct http_call *call, const char *name, struct qosid_errbuf *err); /* QOSID_ERR_EXISTS */
int api_delete_database(struct http_call *call, const char *name, struct qosid_errbuf *err);
int api_visit_databases(struct api *api, int (*visit)(void *context, const char *name, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err); /* in name order */
int api_check_database_name(const char *name, struct qosid_errbuf *err);

/* ---- families of endpoints: each answers the call or returns an error for http_call_failure() ---- */

int api_server_routes(
    struct http_call *call, struct api *api, struct qosid_errbuf *err); /* server.c: first segment "" or _something */
int api_session_routes(struct http_call *call, struct api *api,
    struct qosid_errbuf *err); /* session.c: _session, and authentication of every call */
int api_authenticate(struct http_call *call, struct api *api, struct qosid_errbuf *err); /* session.c */
int api_authorize(
    struct http_call *call, struct api_database *database, bool admin, struct qosid_errbuf *err); /* security.c */
int api_security_routes(
    struct http_call *call, struct api_database *database, struct qosid_errbuf *err); /* security.c: {db}/_security */
int api_database_routes(struct http_call *call, struct api *api,
    struct qosid_errbuf *err); /* database.c: /{db} itself and its _endpoints */
int api_document_routes(
    struct http_call *call, struct api_database *database, struct qosid_errbuf *err); /* document.c */
int api_attachment_routes(
    struct http_call *call, struct api_database *database, struct qosid_errbuf *err); /* attachment.c */
int api_local_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err); /* local.c */
int api_bulk_routes(struct http_call *call, struct api_database *database,
    struct qosid_errbuf *err); /* bulk.c: _bulk_docs, _bulk_get, _revs_diff, _missing_revs */
int api_all_docs_routes(
    struct http_call *call, struct api_database *database, struct qosid_errbuf *err); /* all_docs.c */
int api_changes_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err); /* changes.c */
int api_find_routes(struct http_call *call, struct api_database *database,
    struct qosid_errbuf *err); /* find.c: _find, _index, _explain */

#endif
