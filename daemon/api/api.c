/* The API as a whole: its state, and the first turn of every call; see api.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api/replicate.h"
#include "daemon/api/replicator.h"
#include "daemon/api/reply.h"
#include "daemon/api/scripts.h"
#include "daemon/api/server.h"
#include "daemon/api/users.h"
#include "daemon/api/views.h"

/* ---- life ---- */

/* The server's id, by which replications know it: made once. */
static int load_uuid(struct api *api, struct qosid_errbuf *err)
{
	char path[PATH_MAX];
	api_new_id(api->uuid);
	if (!api->data_dir[0])
		return 0;
	if (snprintf(path, sizeof path, "%s/uuid", api->data_dir) >= (int)sizeof path)
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of the data folder is too long");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool made = fd >= 0;
	if (!made)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open %s", path);
	ssize_t n = made ? write(fd, api->uuid, 32) : read(fd, api->uuid, 32);
	int rc = 0;
	if (n < 0 || (made && fsync(fd) < 0))
		rc = qosid_error_errno(err, errno, "cannot use %s", path);
	else if (n != 32 || strspn(api->uuid, "0123456789abcdef") != 32)
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "%s is damaged; remove it to have a new one made", path);
	if (close(fd) < 0 && rc == 0)
		rc = qosid_error_errno(err, errno, "cannot use %s", path);
	if (rc < 0 && made)
		(void)unlink(path); /* or the next start finds it cut */
	return rc;
}

static int prepare_folder(struct api *api, const char *data_dir, struct qosid_errbuf *err)
{
	if (!data_dir)
		return 0;
	if (snprintf(api->data_dir, sizeof api->data_dir, "%s", data_dir) >= (int)sizeof api->data_dir)
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of the data folder is too long");
	if (mkdir(api->data_dir, 0700) < 0 && errno != EEXIST)
		return qosid_error_errno(err, errno, "cannot make the data folder %s", api->data_dir);
	return 0;
}

static int count_admin(void *context, const char *name, struct qosid_errbuf *err)
{
	(void)name;
	(void)err;
	*(bool *)context = true;
	return 0;
}

/* Nobody is let in before there is somebody. */
static void advise(const struct api *api)
{
	bool found = false;
	struct journal_line line;
	if (api->open || !api->journal || !api->data_dir[0] ||
	    (admins_visit(api->data_dir, count_admin, &found, NULL) == 0 && found))
		return;
	journal_begin(&line, api->journal, LOG_NOTICE, "there is no administrator yet");
	journal_text(&line, "hint", "make one with: qosidd --add-admin NAME");
	journal_end(&line);
}

int api_create(struct api **out, const struct api_options *options, struct qosid_errbuf *err)
{
	struct api *api = calloc(1, sizeof *api);
	if (!api)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the HTTP API");
	api->config = options->config;
	api->workers = options->workers;
	api->journal = options->journal;
	api->open = options->open;
	api->started = api_now();
	int rc = prepare_folder(api, options->data_dir, err);
	if (rc == 0)
		rc = load_uuid(api, err);
	if (rc == 0)
		rc = users_create(api, err);
	if (rc == 0)
		rc = api_databases_create(api, err);
	if (rc == 0)
		rc = scripts_create(&api->scripts, err);
	if (rc == 0)
		rc = api_views_create(api, err);
	if (rc == 0)
		rc = replicator_create(&api->replicator, api, err);
	if (rc < 0) {
		api_free(api);
		return rc;
	}
	advise(api);
	*out = api;
	return 0;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	replicator_free(api->replicator); /* before what its threads use */
	scripts_free(api->scripts);
	api_databases_free(api);
	api_views_free(api);
	users_free(api);
	free(api);
}

void api_set_server(struct api *api, struct http_server *server)
{
	struct qosid_errbuf err = {0};
	struct journal_line line;
	api->server = server;
	if (replicator_start(api->replicator, &err) != 0 && api->journal) {
		journal_begin(&line, api->journal, LOG_ERR, "replications cannot run");
		journal_error(&line, &err);
		journal_end(&line);
	}
}

void api_stop(struct api *api)
{
	if (api)
		replicator_stop(api->replicator);
}

int api_add_admin(const char *data_dir, const char *name, const char *password, struct qosid_errbuf *err)
{
	return admins_put(data_dir, name, password, err);
}

/* ---- every call ---- */

/* What a client may see before it says who it is: that there is a server, and where to log in. */
static bool is_public(const char *name)
{
	return !name || strcmp(name, "_up") == 0 || strcmp(name, "_session") == 0 || strcmp(name, "_utils") == 0;
}

static int route(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 0);
	const struct http_principal *principal = http_call_principal(call);
	if (!is_public(name) && !principal->admin && !principal->name[0])
		return reply_error(call, 401, "unauthorized", "Authentication required.");
	if (name && strcmp(name, "_session") == 0)
		return api_session_routes(call, api, err);
	if (name && replicate_has_route(name))
		return api_replicate_routes(call, api, err);
	if (!name || server_has_route(name))
		return api_server_routes(call, api, err);
	return api_database_routes(call, api, err);
}

int api_handle(struct http_call *call, struct qosid_errbuf *err)
{
	struct api *api = http_call_context(call);
	int rc = api_authenticate(call, api, err);
	if (rc == 0)
		rc = route(call, api, err);
	return api_done(rc);
}
