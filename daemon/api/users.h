/*
 * Who may log in. Administrators are in DATA/admins, one "name hash" a line; other users are documents of _users, whose
 * password hashes lie beside them in the replica's small things, where no client and no replication reaches them.
 *
 * Hashes are Argon2id (libsodium's "interactive" strength: 64 MiB, about a twentieth of a second); one is computed at a
 * time, so a flood of logins costs 64 MiB. A password that was right is remembered for a while as a keyed hash, so that
 * basic authentication with every request stays cheap. Logins that fail make the next ones of that name from that
 * address wait.
 */
#ifndef QOSID_DAEMON_API_USERS_H
#define QOSID_DAEMON_API_USERS_H

#include <sodium.h>

#include "daemon/api/api_internal.h"

#define USERS_PREFIX "org.couchdb.user:"
#define USERS_PASSWORD_BYTES_MAX 1024
#define USERS_MAC_BYTES 32
#define USERS_HASH_SIZE crypto_pwhash_STRBYTES

struct user {
	struct http_principal principal; /* without method */
	char hash[USERS_HASH_SIZE];
};

int users_create(struct api *api, struct qosid_errbuf *err);
void users_free(struct api *api);

/* QOSID_ERR_NOTFOUND when there is no such user, or one without a password. */
int users_find(struct http_call *call, struct api *api, const char *name, struct user *out, struct qosid_errbuf *err);

/* Find the user and check the password. QOSID_ERR_REFUSED when name or password is wrong, QOSID_ERR_BUSY while logins
 * of this name from this peer have to wait. */
int users_login(struct http_call *call, struct api *api, const char *name, const char *password, struct user *out,
    struct qosid_errbuf *err);

/* The seal of a session cookie: over name, time and the stored hash, so that a new password ends old sessions. */
void users_seal(const struct api *api, const struct user *user, const char *time, uint8_t out[USERS_MAC_BYTES]);

/* admins_put() for one caller at a time. */
int users_put_admin(struct api *api, const char *name, const char *password, struct qosid_errbuf *err);

/* ---- password.c ---- */

struct password_memory; /* of passwords that were right */
int password_memory_create(struct password_memory **out, struct qosid_errbuf *err);
void password_memory_free(struct password_memory *memory);
int password_hash(const char *password, char out[USERS_HASH_SIZE], struct qosid_errbuf *err);
/* hash NULL: takes as long, and is false. */
bool password_verify(struct password_memory *memory, const char *hash, const char *password);
/* Whether a login of this name from this peer has to wait; and what came of one. */
bool password_must_wait(struct password_memory *memory, const char *name, const char *peer);
void password_note(struct password_memory *memory, const char *name, const char *peer, bool good);

/* ---- admins.c ---- */

/* QOSID_ERR_NOTFOUND when there is none of this name. */
int admins_find(const char *data_dir, const char *name, char hash[USERS_HASH_SIZE], struct qosid_errbuf *err);
/* Add one or replace the password; password NULL: remove. */
int admins_put(const char *data_dir, const char *name, const char *password, struct qosid_errbuf *err);
int admins_visit(const char *data_dir, int (*visit)(void *context, const char *name, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err);

#endif
