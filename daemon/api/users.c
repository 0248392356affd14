/* Users: finding, checking, and what may be written to _users; see users.h and api_internal.h. */
#include "daemon/api/users.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"

#define PASSWORD_ID_BYTES 16
#define PASSWORD_KEY "_api/password/"
#define LOCAL_KEY_SIZE (sizeof PASSWORD_KEY + (size_t)2 * PASSWORD_ID_BYTES)

struct api_users {
	uint8_t secret[crypto_generichash_KEYBYTES];
	struct password_memory *memory;
	pthread_mutex_t admins; /* held while the file is replaced */
};

/* ---- setting up ---- */

/* The server's own secret, made once. Without a data folder it lasts for this run. */
static int load_secret(struct api *api, struct qosid_errbuf *err)
{
	uint8_t *secret = api->users->secret;
	const size_t size = sizeof api->users->secret;
	char path[PATH_MAX];
	randombytes_buf(secret, size);
	if (!api->data_dir[0])
		return 0;
	if (snprintf(path, sizeof path, "%s/session-secret", api->data_dir) >= (int)sizeof path)
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of the data folder is too long");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool made = fd >= 0;
	if (!made)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open %s", path);
	ssize_t n = made ? write(fd, secret, size) : read(fd, secret, size);
	int rc = 0;
	if (n < 0 || (made && fsync(fd) < 0))
		rc = qosid_error_errno(err, errno, "cannot use %s", path);
	else if ((size_t)n != size)
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "%s is cut short; remove it to have a new one made", path);
	if (close(fd) < 0 && rc == 0)
		rc = qosid_error_errno(err, errno, "cannot use %s", path);
	if (rc < 0 && made)
		(void)unlink(path); /* or the next start finds it cut */
	return rc;
}

int users_create(struct api *api, struct qosid_errbuf *err)
{
	api->users = calloc(1, sizeof *api->users);
	if (!api->users)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for users");
	(void)pthread_mutex_init(&api->users->admins, NULL); /* default attributes: cannot fail on Linux */
	int rc = password_memory_create(&api->users->memory, err);
	return rc < 0 ? rc : load_secret(api, err);
}

void users_free(struct api *api)
{
	if (!api->users)
		return;
	password_memory_free(api->users->memory);
	(void)pthread_mutex_destroy(&api->users->admins);
	sodium_memzero(api->users, sizeof *api->users);
	free(api->users);
	api->users = NULL;
}

int users_put_admin(struct api *api, const char *name, const char *password, struct qosid_errbuf *err)
{
	if (!api->data_dir[0])
		return qosid_error(err, QOSID_ERR_REFUSED, "there is no data folder to keep administrators in");
	(void)pthread_mutex_lock(&api->users->admins);
	int rc = admins_put(api->data_dir, name, password, err);
	(void)pthread_mutex_unlock(&api->users->admins);
	return rc;
}

void users_seal(const struct api *api, const struct user *user, const char *time, uint8_t out[USERS_MAC_BYTES])
{
	static const char purpose[] = "qosid-session-1";
	const char *const parts[] = {purpose, user->principal.name, time, user->hash};
	crypto_generichash_state state;
	(void)crypto_generichash_init(&state, api->users->secret, sizeof api->users->secret, USERS_MAC_BYTES);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		(void)crypto_generichash_update(&state, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
	(void)crypto_generichash_final(&state, out, USERS_MAC_BYTES);
}

/* ---- reading user documents ---- */

/* A string member into a fixed buffer; false when it is absent, no string, too long, or has a NUL. */
static bool read_text(struct json_slice value, char *out, size_t size)
{
	struct qosid_buf text = {0};
	bool good = value.len > 0 && json_slice_kind(value) == JSON_STRING &&
		    json_string_decode(value, &text, NULL) == 0 && text.len < size &&
		    !(text.len > 0 && memchr(text.data, '\0', text.len));
	if (good) {
		memcpy(out, text.data ? (const char *)text.data : "", text.len);
		out[text.len] = '\0';
	}
	qosid_buf_wipe(&text);
	return good;
}

static bool find_text(struct json_slice object, const char *name, char *out, size_t size)
{
	struct json_slice value = {0};
	return json_find(object, name, &value) && read_text(value, out, size);
}

/* The roles of a document; false when they are not what they must be. */
static bool read_roles(struct json_slice object, struct http_principal *out)
{
	const size_t most = sizeof out->roles / sizeof out->roles[0];
	struct json_slice roles, name, value;
	size_t position = 0;
	out->role_count = 0;
	if (!json_find(object, "roles", &roles) || json_slice_kind(roles) != JSON_ARRAY)
		return false;
	while (json_next(roles, &position, &name, &value)) {
		if (out->role_count == most || !read_text(value, out->roles[out->role_count], sizeof out->roles[0]))
			return false;
		out->role_count++;
	}
	return true;
}

static int format_id(char out[256], const char *name, struct qosid_errbuf *err)
{
	if (snprintf(out, 256, USERS_PREFIX "%s", name) >= 256)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "no user has so long a name");
	return 0;
}

/* The stored hash of a user document. */
static int read_hash(struct replica *replica, struct json_slice document, const char *name, char hash[USERS_HASH_SIZE],
    struct qosid_errbuf *err)
{
	struct qosid_buf local = {0};
	struct json_slice object;
	char id[2 * PASSWORD_ID_BYTES + 1], key[LOCAL_KEY_SIZE], owner[128];
	if (!find_text(document, "password_id", id, sizeof id))
		return qosid_error(err, QOSID_ERR_NOTFOUND, "user %s has no password", name);
	(void)snprintf(key, sizeof key, PASSWORD_KEY "%s", id);
	int rc = replica_read_local(replica, key, &local, err);
	if (rc == 0)
		rc = json_check_object((const char *)local.data, local.len, &object, err);
	if (rc == 0 && (!find_text(object, "name", owner, sizeof owner) || strcmp(owner, name) != 0 ||
			   !find_text(object, "hash", hash, USERS_HASH_SIZE)))
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "user %s has no password", name);
	qosid_buf_wipe(&local);
	return rc;
}

static int find_document(struct replica *replica, const char *name, struct user *out, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct json_slice body;
	char id[256], stored[128];
	int rc = format_id(id, name, err);
	if (rc == 0)
		rc = replica_read_document(replica, id, NULL, &record, err);
	if (rc == 0)
		rc = json_check_object((const char *)record.body.data, record.body.len, &body, err);
	if (rc == 0 && (!find_text(body, "name", stored, sizeof stored) || strcmp(stored, name) != 0 ||
			   !read_roles(body, &out->principal)))
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "the document of user %s is no user's", name);
	if (rc == 0)
		rc = read_hash(replica, body, name, out->hash, err);
	/* Such a role cannot be written here, but a replica has other ways in. */
	for (size_t i = 0; rc == 0 && i < out->principal.role_count; i++) {
		if (out->principal.roles[i][0] == '_')
			rc = qosid_error(err, QOSID_ERR_NOTFOUND, "user %s has a system role", name);
	}
	replica_record_free(&record);
	return rc;
}

int users_find(struct http_call *call, struct api *api, const char *name, struct user *out, struct qosid_errbuf *err)
{
	struct api_database *database = NULL;
	*out = (struct user){0};
	if (!api->data_dir[0] || strlen(name) >= sizeof out->principal.name)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "there are no users here");
	(void)snprintf(out->principal.name, sizeof out->principal.name, "%s", name);
	int rc = admins_find(api->data_dir, name, out->hash, err);
	if (rc == 0) {
		out->principal.admin = true;
		out->principal.role_count = 1;
		(void)snprintf(out->principal.roles[0], sizeof out->principal.roles[0], "_admin");
	}
	if (rc != QOSID_ERR_NOTFOUND)
		return rc;
	qosid_error_clear(err);
	rc = api_open_database(call, API_USERS, &database, err);
	if (rc == 0)
		rc = find_document(database->replica, name, out, err);
	api_release_database(call, database);
	return rc;
}

int users_login(struct http_call *call, struct api *api, const char *name, const char *password, struct user *out,
    struct qosid_errbuf *err)
{
	struct password_memory *memory = api->users->memory;
	const char *peer = http_call_peer(call);
	if (password_must_wait(memory, name, peer))
		return qosid_error(
		    err, QOSID_ERR_BUSY, "Account is temporarily locked due to multiple authentication failures");
	if (strlen(password) > USERS_PASSWORD_BYTES_MAX)
		return qosid_error(err, QOSID_ERR_REFUSED, "Name or password is incorrect.");
	int rc = users_find(call, api, name, out, err);
	if (rc < 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	bool good = password_verify(memory, rc == 0 ? out->hash : NULL, password);
	password_note(memory, name, peer, good);
	if (good)
		return 0;
	qosid_error_clear(err);
	return qosid_error(err, QOSID_ERR_REFUSED, "Name or password is incorrect.");
}

/* ---- writing user documents ---- */

bool api_is_users(const struct api_database *database)
{
	return strcmp(database->name, API_USERS) == 0;
}

static bool is_own(const struct http_call *call, const char *id)
{
	const struct http_principal *principal = http_call_principal(call);
	return principal->name[0] && strncmp(id, USERS_PREFIX, sizeof USERS_PREFIX - 1) == 0 &&
	       strcmp(id + sizeof USERS_PREFIX - 1, principal->name) == 0;
}

bool api_users_may_read(const struct http_call *call, const char *id)
{
	return http_call_principal(call)->admin || is_own(call, id);
}

/* What CouchDB's validation of _users demands. */
static int check_members(
    struct json_slice document, const char *id, struct http_principal *user, struct qosid_errbuf *err)
{
	char type[8];
	struct json_slice roles;
	if (!find_text(document, "type", type, sizeof type) || strcmp(type, "user") != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "doc.type must be user");
	if (!find_text(document, "name", user->name, sizeof user->name) || !user->name[0])
		return qosid_error(err, QOSID_ERR_REFUSED, "doc.name is required");
	if (!json_find(document, "roles", &roles))
		return qosid_error(err, QOSID_ERR_REFUSED, "doc.roles must exist");
	if (json_slice_kind(roles) != JSON_ARRAY)
		return qosid_error(err, QOSID_ERR_REFUSED, "doc.roles must be an array");
	size_t position = 0;
	struct json_slice name, role;
	while (json_next(roles, &position, &name, &role)) {
		if (json_slice_kind(role) != JSON_STRING)
			return qosid_error(err, QOSID_ERR_REFUSED, "doc.roles can only contain strings");
	}
	if (!read_roles(document, user))
		return qosid_error(err, QOSID_ERR_REFUSED, "doc.roles can hold at most %zu roles of at most %zu bytes",
		    sizeof user->roles / sizeof user->roles[0], sizeof user->roles[0] - 1);
	if (strncmp(id, USERS_PREFIX, sizeof USERS_PREFIX - 1) != 0 ||
	    strcmp(id + sizeof USERS_PREFIX - 1, user->name) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "Doc ID must be of the form org.couchdb.user:name");
	if (strchr(user->name, ':'))
		return qosid_error(err, QOSID_ERR_REFUSED, "Character `:` is not allowed in usernames.");
	for (size_t i = 0; i < user->role_count; i++) {
		if (user->roles[i][0] == '_')
			return qosid_error(
			    err, QOSID_ERR_REFUSED, "No system roles (starting with underscore) in users db.");
	}
	return 0;
}

/* Who is no administrator keeps the roles that he has. */
static int check_roles_kept(
    struct api_database *database, const char *id, const struct http_principal *user, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct http_principal stored = {0};
	struct json_slice body = {0};
	int rc = replica_read_document(database->replica, id, NULL, &record, err);
	if (rc == 0)
		rc = json_check_object((const char *)record.body.data, record.body.len, &body, err);
	bool same = rc == 0 && read_roles(body, &stored) && stored.role_count == user->role_count;
	for (size_t i = 0; same && i < stored.role_count; i++)
		same = strcmp(stored.roles[i], user->roles[i]) == 0;
	replica_record_free(&record);
	if (rc < 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	qosid_error_clear(err);
	return same ? 0
		    : qosid_error(err, QOSID_ERR_REFUSED, "Only _admin may %s roles", body.len > 0 ? "edit" : "set");
}

/* Put the hash away under a new id, which the document then names. When the document is refused in the end, the hash
 * stays behind without a use. */
static int store_password(struct api_database *database, const char *name, const char *password,
    char id[2 * PASSWORD_ID_BYTES + 1], struct qosid_errbuf *err)
{
	uint8_t random[PASSWORD_ID_BYTES];
	char hash[USERS_HASH_SIZE], key[LOCAL_KEY_SIZE];
	struct qosid_buf body = {0};
	randombytes_buf(random, sizeof random);
	(void)sodium_bin2hex(id, 2 * PASSWORD_ID_BYTES + 1, random, sizeof random);
	(void)snprintf(key, sizeof key, PASSWORD_KEY "%s", id);
	int rc = password_hash(password, hash, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&body, "{\"name\":", err);
	if (rc == 0)
		rc = json_string_encode(&body, name, strlen(name), err);
	if (rc == 0)
		rc = qosid_buf_append_format(&body, err, ",\"hash\":\"%s\"}", hash);
	if (rc == 0)
		rc = replica_put_local(
		    database->replica, key, (struct json_slice){(const char *)body.data, body.len}, err);
	qosid_buf_wipe(&body);
	return rc;
}

/* The document without its password and what belonged to an older one. */
static int copy_without_password(
    struct json_slice document, const char *password_id, struct qosid_buf *out, struct qosid_errbuf *err)
{
	static const char *const dropped[] = {
	    "password", "password_scheme", "password_id", "salt", "derived_key", "iterations", "pbkdf2_prf"};
	struct json_slice name, value;
	size_t position = 0;
	int rc = qosid_buf_append_byte(out, '{', err);
	while (rc == 0 && json_next(document, &position, &name, &value)) {
		bool drop = false;
		for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
			drop = drop || json_string_equal(name, dropped[i]);
		if (drop)
			continue;
		rc = qosid_buf_append(out, name.text, name.len, err);
		if (rc == 0)
			rc = qosid_buf_append_byte(out, ':', err);
		if (rc == 0)
			rc = qosid_buf_append(out, value.text, value.len, err);
		if (rc == 0)
			rc = qosid_buf_append_byte(out, ',', err);
	}
	if (rc == 0)
		rc = qosid_buf_append_format(
		    out, err, "\"password_scheme\":\"argon2id\",\"password_id\":\"%s\"}", password_id);
	return rc;
}

int api_users_prepare(struct http_call *call, struct api_database *database, struct json_slice document,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct http_principal user = {0};
	struct json_slice value;
	char id[256] = "", password[USERS_PASSWORD_BYTES_MAX + 1], password_id[2 * PASSWORD_ID_BYTES + 1];
	bool admin = http_call_principal(call)->admin;
	int rc = 0;
	bool named = find_text(document, "_id", id, sizeof id);
	if (!admin && !(named && is_own(call, id)))
		return qosid_error(err, QOSID_ERR_REFUSED, "You may only update your own user document.");
	bool deleted = json_find(document, "_deleted", &value) && json_slice_kind(value) == JSON_TRUE;
	if (deleted || (admin && strncmp(id, "_design/", 8) == 0))
		return qosid_buf_append(out, document.text, document.len, err);
	rc = check_members(document, id, &user, err);
	if (rc == 0 && !admin)
		rc = check_roles_kept(database, id, &user, err);
	if (rc < 0)
		return rc;
	if (!json_find(document, "password", &value) || json_slice_kind(value) == JSON_NULL)
		return qosid_buf_append(out, document.text, document.len, err);
	if (!read_text(value, password, sizeof password) || !password[0])
		return qosid_error(
		    err, QOSID_ERR_INVALID, "Password must be a string of 1 to %d bytes.", USERS_PASSWORD_BYTES_MAX);
	rc = store_password(database, user.name, password, password_id, err);
	sodium_memzero(password, sizeof password);
	return rc < 0 ? rc : copy_without_password(document, password_id, out, err);
}
