/*
 * Which databases there are, and each worker's open replicas.
 *
 * An entry is a database that somebody has opened; all workers share it. A worker keeps a few replicas open and drops
 * the one it has not used for longest. A database that is being deleted leaves the list at once, so nobody can open it
 * any more; whoever has it open goes on with files that have no name, and closes them when he opens something next.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api/api_internal.h"
#include "sync/replica/replica_query.h"
#include "sync/replica/view.h"
#include "sync/space.h"

#define KEPT_OPEN 32       /* replicas a worker */
#define NAME_BYTES_MAX 238 /* as in CouchDB */
#define INSTANCE_NAME "_api/instance"

struct entry {
	struct entry *next;
	char *name;
	char *dir;
	bool removable;
	bool removed;
	unsigned users;   /* workers that have it in use */
	unsigned handles; /* and that keep it open */
	pthread_mutex_t writing;
};

struct handle {
	struct api_database database;
	struct entry *entry; /* NULL: free */
	unsigned uses;
	uint64_t used; /* when last */
	char instance[33];
	int64_t sequence; /* at the beginning of a transaction */
};

struct cache {
	struct handle handles[KEPT_OPEN];
	uint64_t clock;
};

struct api_databases {
	pthread_mutex_t mutex; /* entries, and their users, handles, removed */
	pthread_mutex_t making;
	struct entry *entries;
	struct cache *caches; /* one a worker; touched by that worker only */
	char office[LIMIT_SLUG_BYTES + 1];
};

/* ---- names ---- */

int api_check_database_name(const char *name, struct qosid_errbuf *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_$()+-/";
	size_t len = strlen(name);

	if (strcmp(name, API_USERS) == 0 || strcmp(name, API_REPLICATOR) == 0)
		return 0;
	if (len == 0 || len > NAME_BYTES_MAX || name[0] < 'a' || name[0] > 'z' || strspn(name, allowed) != len)
		return qosid_error(err, QOSID_ERR_INVALID,
		    "Name: '%.100s'. Only lowercase characters (a-z), digits (0-9), and any of the characters"
		    " _, $, (, ), +, -, and / are allowed. Must begin with a letter.",
		    name);
	return 0;
}

/* The folder of a database made over HTTP: a slash becomes %2F, all else may stand in a file name. */
static int format_dir(const struct api *api, const char *name, char out[PATH_MAX], struct qosid_errbuf *err)
{
	int used = snprintf(out, PATH_MAX, "%s/databases/", api->data_dir);
	size_t len = used > 0 ? (size_t)used : PATH_MAX;

	for (; *name; name++) {
		size_t need = *name == '/' ? 3 : 1;

		if (len + need >= PATH_MAX)
			return qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
		memcpy(out + len, *name == '/' ? "%2F" : name, need);
		len += need;
	}
	out[len] = '\0';
	return 0;
}

static void decode_dir(char *name)
{
	char *to = name;

	for (const char *at = name; *at; at++) {
		bool slash = strncmp(at, "%2F", 3) == 0;

		*to = *at;
		if (slash) {
			*to = '/';
			at += 2;
		}
		to++;
	}
	*to = '\0';
}

static bool has_replica(const char *dir)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/replica.db", dir);

	return len > 0 && len < (int)sizeof(path) && access(path, F_OK) == 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status, (void)type, (void)ftw;
	return remove(path);
}

static int remove_tree(const char *dir, struct qosid_errbuf *err)
{
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		return qosid_error_errno(err, errno, "cannot remove %s", dir);
	return 0;
}

/* ---- setting up ---- */

static int make_dir(const char *path, struct qosid_errbuf *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return qosid_error_errno(err, errno, "cannot create %s", path);
	return 0;
}

/* What a kill in the middle of a deletion or creation has left. */
static int sweep(const char *root, struct qosid_errbuf *err)
{
	char path[PATH_MAX];
	struct dirent *item;
	DIR *dir = opendir(root);
	int rc = 0;

	if (!dir)
		return qosid_error_errno(err, errno, "cannot read %s", root);
	while (rc == 0 && (item = readdir(dir)) != NULL) {
		if (strncmp(item->d_name, ".removed-", 9) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", root, item->d_name) < (int)sizeof(path))
			rc = remove_tree(path, err);
	}
	(void)closedir(dir); /* only read */
	return rc;
}

/* The office that databases made here belong to: that of the first configured space, else the machine's name. */
static void choose_office(const struct api *api, char out[LIMIT_SLUG_BYTES + 1])
{
	struct space *space = NULL;
	char host[256] = "";
	size_t len = 0;

	if (api->config && api->config->count > 0 &&
	    space_open(&space, api->config->spaces[0].path, false, NULL, NULL) == 0) {
		(void)snprintf(out, LIMIT_SLUG_BYTES + 1, "%s", space_office(space));
		space_close(space);
		return;
	}
	(void)gethostname(host, sizeof(host) - 1); /* on failure "office" stands in */
	for (const char *at = host; *at && *at != '.' && len < LIMIT_SLUG_BYTES; at++) {
		char c = *at;
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (plain || (c == '-' && len > 0))
			out[len++] = c;
	}
	out[len] = '\0';
	if (len == 0)
		memcpy(out, "office", sizeof("office"));
}

int api_databases_create(struct api *api, struct qosid_errbuf *err)
{
	struct api_databases *databases = calloc(1, sizeof(*databases));
	char root[PATH_MAX];
	int rc = 0;

	if (!databases || !(databases->caches = calloc(api->workers ? api->workers : 1, sizeof(*databases->caches)))) {
		free(databases);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	(void)pthread_mutex_init(&databases->mutex, NULL); /* cannot fail on Linux, like the next one */
	(void)pthread_mutex_init(&databases->making, NULL);
	api->databases = databases;
	choose_office(api, databases->office);
	if (api->data_dir[0] != '\0') {
		if (snprintf(root, sizeof(root), "%s/databases", api->data_dir) >= (int)sizeof(root))
			rc = qosid_error(err, QOSID_ERR_LIMIT, "the path of the data folder is too long");
		if (rc == 0)
			rc = make_dir(root, err);
		if (rc == 0)
			rc = sweep(root, err);
	}
	if (rc != 0)
		api_databases_free(api);
	return rc;
}

static void free_entry(struct entry *entry)
{
	(void)pthread_mutex_destroy(&entry->writing); /* nobody holds it */
	free(entry->name);
	free(entry->dir);
	free(entry);
}

/* The mutex is held. */
static void close_handle(struct handle *handle)
{
	struct entry *entry = handle->entry;

	views_close(handle->database.views);
	replica_close(handle->database.replica);
	*handle = (struct handle){0};
	if (--entry->handles == 0 && entry->removed && entry->users == 0)
		free_entry(entry);
}

void api_databases_free(struct api *api)
{
	struct api_databases *databases = api->databases;
	unsigned workers = api->workers ? api->workers : 1;

	if (!databases)
		return;
	for (unsigned i = 0; i < workers; i++) {
		for (size_t k = 0; k < KEPT_OPEN; k++) {
			if (databases->caches[i].handles[k].entry)
				close_handle(&databases->caches[i].handles[k]);
		}
	}
	while (databases->entries) {
		struct entry *entry = databases->entries;

		databases->entries = entry->next;
		free_entry(entry);
	}
	(void)pthread_mutex_destroy(&databases->making);
	(void)pthread_mutex_destroy(&databases->mutex);
	free(databases->caches);
	free(databases);
	api->databases = NULL;
}

/* ---- entries ---- */

static struct entry *find_entry(struct api_databases *databases, const char *name)
{
	for (struct entry *entry = databases->entries; entry; entry = entry->next) {
		if (strcmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

/* NULL without memory. */
static struct entry *add_entry(struct api_databases *databases, const char *name, const char *dir, bool removable)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->name = strdup(name);
	entry->dir = strdup(dir);
	entry->removable = removable;
	(void)pthread_mutex_init(&entry->writing, NULL); /* cannot fail on Linux */
	if (!entry->name || !entry->dir) {
		free_entry(entry);
		return NULL;
	}
	entry->next = databases->entries;
	databases->entries = entry;
	return entry;
}

/* A folder with an empty replica, which is no space: nothing in it is ever published. */
static int make_plain(const char *dir, struct qosid_errbuf *err)
{
	struct replica *replica = NULL;
	char path[PATH_MAX];
	int rc = make_dir(dir, err);

	if (rc == 0 && snprintf(path, sizeof(path), "%s/replica.db", dir) >= (int)sizeof(path))
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	if (rc == 0)
		rc = replica_open(&replica, path, REPLICA_CREATE, err);
	replica_close(replica);
	return rc;
}

/* Where a database lies that is not in the list yet. */
static int locate(
    const struct api *api, const char *name, char dir[PATH_MAX], bool *removable, struct qosid_errbuf *err)
{
	int rc;

	*removable = false;
	for (size_t i = 0; api->config && i < api->config->count; i++) {
		if (strcmp(api->config->spaces[i].name, name) == 0) {
			(void)snprintf(dir, PATH_MAX, "%s", api->config->spaces[i].path);
			return 0;
		}
	}
	if (api->data_dir[0] == '\0' || api_check_database_name(name, NULL) != 0)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "Database does not exist.");
	rc = format_dir(api, name, dir, err);
	if (rc == 0 && name[0] == '_')
		return has_replica(dir) ? 0 : make_plain(dir, err);
	*removable = true;
	if (rc == 0 && !has_replica(dir))
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "Database does not exist.");
	return rc;
}

/* The entry, counted as used. */
static int take_entry(struct api *api, const char *name, struct entry **out, struct qosid_errbuf *err)
{
	struct api_databases *databases = api->databases;
	struct entry *entry;
	char dir[PATH_MAX];
	bool removable;
	int rc = 0;

	*out = NULL;
	(void)pthread_mutex_lock(&databases->mutex); /* cannot fail for this kind */
	entry = find_entry(databases, name);
	if (!entry && (rc = locate(api, name, dir, &removable, err)) == 0) {
		entry = add_entry(databases, name, dir, removable);
		if (!entry) {
			rc = QOSID_ERR_NOMEM;
			(void)qosid_error(err, rc, "out of memory");
		}
	}
	if (entry) {
		entry->users++;
		*out = entry;
	}
	(void)pthread_mutex_unlock(&databases->mutex);
	return rc;
}

static void release_entry(struct api_databases *databases, struct entry *entry)
{
	(void)pthread_mutex_lock(&databases->mutex);
	if (--entry->users == 0 && entry->handles == 0 && entry->removed)
		free_entry(entry);
	(void)pthread_mutex_unlock(&databases->mutex);
}

/* ---- a worker's replicas ---- */

/* The handle that has the entry open, or a free one; handles of removed databases are closed on the way. */
static struct handle *choose_handle(struct api_databases *databases, struct cache *cache, const struct entry *entry)
{
	struct handle *oldest = NULL, *found = NULL;

	(void)pthread_mutex_lock(&databases->mutex);
	for (size_t i = 0; i < KEPT_OPEN; i++) {
		struct handle *handle = &cache->handles[i];

		if (handle->entry && handle->entry != entry && handle->entry->removed && handle->uses == 0)
			close_handle(handle);
		if (handle->entry == entry)
			found = handle;
		if (handle->uses == 0 && (!oldest || handle->used < oldest->used))
			oldest = handle;
	}
	if (!found && oldest) {
		found = oldest;
		if (found->entry)
			close_handle(found);
	}
	(void)pthread_mutex_unlock(&databases->mutex);
	return found;
}

/* The database's mark on its sequences: made once, kept in the file. */
static int load_instance(struct replica *replica, struct entry *entry, char out[33], struct qosid_errbuf *err)
{
	struct qosid_buf body = {0};
	struct json_slice object, value;
	unsigned char bytes[8];
	char text[64];
	int rc;

	(void)pthread_mutex_lock(&entry->writing);
	rc = replica_read_local(replica, INSTANCE_NAME, &body, err);
	if (rc == QOSID_ERR_NOTFOUND) {
		qosid_error_clear(err);
		randombytes_buf(bytes, sizeof(bytes));
		sodium_bin2hex(out, 33, bytes, sizeof(bytes));
		(void)snprintf(text, sizeof(text), "{\"instance\":\"%s\"}", out);
		rc = replica_begin(replica, err);
		if (rc == 0)
			rc = replica_put_local(replica, INSTANCE_NAME, (struct json_slice){text, strlen(text)}, err);
		if (rc == 0)
			rc = replica_commit(replica, err);
		else
			replica_rollback(replica);
	} else if (rc == 0) {
		if (json_check_object((const char *)body.data, body.len, &object, NULL) == 0 &&
		    json_find(object, "instance", &value) && value.len > 2 && value.len <= 34)
			(void)snprintf(out, 33, "%.*s", (int)value.len - 2, value.text + 1);
		else
			rc = qosid_error(err, QOSID_ERR_CORRUPT, "the instance of database %s is damaged", entry->name);
	}
	(void)pthread_mutex_unlock(&entry->writing);
	qosid_buf_free(&body);
	return rc;
}

static int open_handle(
    struct api_databases *databases, struct handle *handle, struct entry *entry, struct qosid_errbuf *err)
{
	struct replica *replica = NULL;
	char path[PATH_MAX], instance[33] = "";
	int rc;

	if (snprintf(path, sizeof(path), "%s/replica.db", entry->dir) >= (int)sizeof(path))
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	rc = replica_open(&replica, path, 0, err);
	if (rc == 0)
		rc = load_instance(replica, entry, instance, err);
	if (rc != 0) {
		replica_close(replica);
		return rc;
	}
	(void)pthread_mutex_lock(&databases->mutex);
	memcpy(handle->instance, instance, sizeof(instance));
	entry->handles++;
	handle->entry = entry;
	handle->database.replica = replica;
	(void)pthread_mutex_unlock(&databases->mutex);
	return 0;
}

int api_open_database(struct http_call *call, const char *name, struct api_database **out, struct qosid_errbuf *err)
{
	struct api *api = http_call_context(call);
	struct api_databases *databases = api->databases;
	struct cache *cache = &databases->caches[http_call_worker(call)];
	struct handle *handle;
	struct entry *entry;
	int rc = take_entry(api, name, &entry, err);

	*out = NULL;
	if (rc != 0)
		return rc;
	handle = choose_handle(databases, cache, entry);
	if (!handle)
		rc = qosid_error(err, QOSID_ERR_BUSY, "too many databases are open");
	else if (!handle->entry)
		rc = open_handle(databases, handle, entry, err);
	if (rc != 0) {
		release_entry(databases, entry);
		return rc;
	}
	handle->database.api = api;
	handle->database.name = entry->name;
	handle->database.dir = entry->dir;
	handle->database.removable = entry->removable;
	handle->database.instance = handle->instance;
	handle->used = ++cache->clock;
	handle->uses++;
	*out = &handle->database;
	return 0;
}

/* A database is the first member of its handle. */
static struct handle *handle_of(struct api_database *database)
{
	return (struct handle *)(void *)database;
}

void api_release_database(struct http_call *call, struct api_database *database)
{
	struct api *api = http_call_context(call);
	struct handle *handle;

	if (!database)
		return;
	handle = handle_of(database);
	handle->uses--;
	release_entry(api->databases, handle->entry);
}

/* ---- writing ---- */

int api_begin_write(struct api_database *database, struct qosid_errbuf *err)
{
	struct handle *handle = handle_of(database);
	int rc;

	(void)pthread_mutex_lock(&handle->entry->writing);
	rc = replica_begin(database->replica, err);
	if (rc != 0)
		(void)pthread_mutex_unlock(&handle->entry->writing);
	else
		handle->sequence = replica_last_sequence(database->replica);
	return rc;
}

int api_commit_write(struct api_database *database, struct qosid_errbuf *err)
{
	struct handle *handle = handle_of(database);
	int64_t sequence = replica_last_sequence(database->replica);
	int rc = replica_commit(database->replica, err);

	(void)pthread_mutex_unlock(&handle->entry->writing);
	if (rc == 0 && sequence > handle->sequence && database->api->server)
		http_server_wake(database->api->server, database->name);
	return rc;
}

void api_abort_write(struct api_database *database)
{
	replica_rollback(database->replica);
	(void)pthread_mutex_unlock(&handle_of(database)->entry->writing);
}

/* ---- making, deleting, listing ---- */

int api_locate_database(struct api *api, const char *name, char dir[PATH_MAX], struct qosid_errbuf *err)
{
	struct entry *entry;
	int rc = take_entry(api, name, &entry, err);

	if (rc != 0)
		return rc;
	if (snprintf(dir, PATH_MAX, "%s", entry->dir) >= PATH_MAX)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	release_entry(api->databases, entry);
	return rc;
}

int api_create_database(struct http_call *call, const char *name, struct qosid_errbuf *err)
{
	return api_make_database(http_call_context(call), name, err);
}

int api_make_database(struct api *api, const char *name, struct qosid_errbuf *err)
{
	struct entry *entry;
	char dir[PATH_MAX];
	int rc = api_check_database_name(name, err);

	if (rc != 0)
		return rc;
	(void)pthread_mutex_lock(&api->databases->making);
	rc = take_entry(api, name, &entry, err);
	if (rc == 0) {
		release_entry(api->databases, entry);
		rc = qosid_error(err, QOSID_ERR_EXISTS, "The database could not be created, the file already exists.");
	} else if (rc == QOSID_ERR_NOTFOUND && api->data_dir[0] == '\0') {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "no data folder is configured for new databases");
	} else if (rc == QOSID_ERR_NOTFOUND) {
		qosid_error_clear(err);
		rc = format_dir(api, name, dir, err);
		if (rc == 0)
			rc = space_create(dir, api->databases->office, NULL, err);
	}
	(void)pthread_mutex_unlock(&api->databases->making);
	return rc;
}

static void unlink_entry(struct api_databases *databases, const struct entry *entry)
{
	struct entry **at = &databases->entries;

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

int api_delete_database(struct http_call *call, const char *name, struct qosid_errbuf *err)
{
	struct api *api = http_call_context(call);
	struct api_databases *databases = api->databases;
	char dir[PATH_MAX], trash[PATH_MAX], id[33];
	unsigned char bytes[16];
	struct entry *entry;
	int rc = take_entry(api, name, &entry, err);

	if (rc != 0)
		return rc;
	if (!entry->removable) {
		release_entry(databases, entry);
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "%s is a space of the configuration, which is not removed over HTTP", name);
	}
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(id, sizeof(id), bytes, sizeof(bytes));
	rc = format_dir(api, name, dir, err);
	if (rc == 0 && snprintf(trash, sizeof(trash), "%s/databases/.removed-%s", api->data_dir, id) >= PATH_MAX)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	(void)pthread_mutex_lock(&databases->mutex);
	entry->users--;
	if (rc == 0 && entry->removed)
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "Database does not exist.");
	/* From here on it cannot be opened; who has it open goes on with files that have no name any more. */
	if (rc == 0 && rename(dir, trash) < 0)
		rc = qosid_error_errno(err, errno, "cannot remove database %s", name);
	if (rc == 0) {
		unlink_entry(databases, entry);
		entry->removed = true;
	}
	if (entry->removed && entry->users == 0 && entry->handles == 0)
		free_entry(entry);
	(void)pthread_mutex_unlock(&databases->mutex);
	if (rc != 0)
		return rc;
	if (api->server)
		http_server_wake(api->server, name);
	return remove_tree(trash, err);
}

struct names {
	char **items;
	size_t count;
};

static int add_name(struct names *names, const char *name, struct qosid_errbuf *err)
{
	char **items = reallocarray(names->items, names->count + 1, sizeof(*items));

	if (items)
		names->items = items;
	if (!items || !(items[names->count] = strdup(name)))
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	names->count++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collect_made(const struct api *api, struct names *names, struct qosid_errbuf *err)
{
	char root[PATH_MAX], path[PATH_MAX];
	struct dirent *item;
	DIR *dir;
	int rc = 0;

	if (api->data_dir[0] == '\0')
		return 0;
	if (snprintf(root, sizeof(root), "%s/databases", api->data_dir) >= (int)sizeof(root))
		return 0;
	dir = opendir(root);
	if (!dir)
		return qosid_error_errno(err, errno, "cannot read %s", root);
	while (rc == 0 && (item = readdir(dir)) != NULL) {
		if (item->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", root, item->d_name) >= (int)sizeof(path) ||
		    !has_replica(path))
			continue;
		decode_dir(item->d_name);
		rc = add_name(names, item->d_name, err);
	}
	(void)closedir(dir); /* only read */
	return rc;
}

int api_visit_databases(struct api *api, int (*visit)(void *context, const char *name, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err)
{
	struct names names = {0};
	int rc = collect_made(api, &names, err);

	for (size_t i = 0; rc == 0 && api->config && i < api->config->count; i++)
		rc = add_name(&names, api->config->spaces[i].name, err);
	if (rc == 0 && names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_names);
	for (size_t i = 0; i < names.count; i++) {
		bool repeated = i > 0 && strcmp(names.items[i], names.items[i - 1]) == 0;

		if (rc == 0 && !repeated)
			rc = visit(context, names.items[i], err);
	}
	for (size_t i = 0; i < names.count; i++)
		free(names.items[i]);
	free(names.items);
	return rc;
}
