/* The HTTP API as a part of the daemon; see service.h. */
#include "daemon/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/api/api.h"
#include "daemon/http/http.h"

#define WORKERS 4
#define SOCKETS_MOST 4

struct service {
	struct config config; /* a copy */
	struct api *api;
	struct http_server *server;
};

/* ---- a copy of the configuration ---- */

static int copy_texts(char ***out, char *const *list, struct qosid_errbuf *err)
{
	size_t count = 0;
	*out = NULL;
	while (list && list[count])
		count++;
	if (count > 0 && !(*out = calloc(count + 1, sizeof **out)))
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the configuration");
	for (size_t i = 0; i < count; i++) {
		(*out)[i] = strdup(list[i]);
		if (!(*out)[i])
			return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the configuration");
	}
	return 0;
}

static int copy_config(struct config *out, const struct config *config, struct qosid_errbuf *err)
{
	*out = *config;
	out->http.hosts = out->http.origins = NULL;
	out->spaces = calloc(config->count + 1, sizeof *out->spaces);
	if (!out->spaces)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the configuration");
	if (config->count > 0)
		memcpy(out->spaces, config->spaces, config->count * sizeof *out->spaces);
	int rc = copy_texts(&out->http.hosts, config->http.hosts, err);
	return rc == 0 ? copy_texts(&out->http.origins, config->http.origins, err) : rc;
}

bool service_fits(const struct service *service, const struct config *config)
{
	if (!service)
		return !config->http.enabled;
	const struct config *mine = &service->config;
	bool same = config_http_equal(&mine->http, &config->http) && mine->count == config->count;
	for (size_t i = 0; same && i < mine->count; i++)
		same = strcmp(mine->spaces[i].name, config->spaces[i].name) == 0 &&
		       strcmp(mine->spaces[i].path, config->spaces[i].path) == 0;
	return same;
}

/* ---- starting ---- */

/* Sockets of a systemd socket unit, as descriptors that the server may close: a reload needs them again. */
static int take_sockets(int fds[SOCKETS_MOST], size_t *count, struct qosid_errbuf *err)
{
	int n = sd_listen_fds(0);
	*count = 0;
	for (int i = 0; i < n; i++) {
		int given = SD_LISTEN_FDS_START + i;
		if (sd_is_socket(given, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
			continue;
		if (*count == SOCKETS_MOST)
			return qosid_error(err, QOSID_ERR_LIMIT, "systemd gives more than %d sockets", SOCKETS_MOST);
		fds[*count] = fcntl(given, F_DUPFD_CLOEXEC, 0);
		if (fds[*count] < 0)
			return qosid_error_errno(err, errno, "cannot use a socket that systemd gave");
		++*count;
	}
	return 0;
}

static void tell_api(void *context, struct http_server *server)
{
	api_set_server(context, server);
}

static int start_server(struct service *service, const struct journal *journal, struct qosid_errbuf *err)
{
	const struct config_http *http = &service->config.http;
	int fds[SOCKETS_MOST];
	size_t count = 0;
	int rc = take_sockets(fds, &count, err);
	if (rc < 0) {
		while (count > 0)
			(void)close(fds[--count]);
		return rc;
	}
	struct http_options options = {
	    .address = http->address[0] && (http->listen_set || count == 0) ? http->address : NULL,
	    .port = http->port,
	    .unix_path = http->socket[0] ? http->socket : NULL,
	    .listen_fds = fds,
	    .listen_fd_count = count,
	    .workers = WORKERS,
	    .body_max = http->body_max,
	    .hosts = (const char *const *)http->hosts,
	    .origins = (const char *const *)http->origins,
	    .handler = api_handle,
	    .context = service->api,
	    .journal = journal,
	    .started = tell_api,
	};
	return http_server_start(&service->server, &options, err);
}

static void log_start(const struct service *service, const struct journal *journal)
{
	const struct config_http *http = &service->config.http;
	struct journal_line line;
	journal_begin(&line, journal, http->open ? LOG_WARNING : LOG_INFO, "serving HTTP");
	if (http->address[0] && http_server_port(service->server)) {
		journal_text(&line, "address", http->address);
		journal_number(&line, "port", http_server_port(service->server));
	}
	if (http->socket[0])
		journal_text(&line, "socket", http->socket);
	if (http->open)
		journal_text(&line, "open", "whoever comes over loopback is administrator");
	journal_end(&line);
}

int service_start(
    struct service **out, const struct config *config, const struct journal *journal, struct qosid_errbuf *err)
{
	*out = NULL;
	if (!config->http.enabled)
		return 0;
	struct service *service = calloc(1, sizeof *service);
	if (!service)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the HTTP API");
	int rc = copy_config(&service->config, config, err);
	if (rc == 0) {
		struct api_options options = {
		    .config = &service->config,
		    .data_dir = service->config.http.data_dir,
		    .workers = WORKERS,
		    .open = service->config.http.open,
		    .journal = journal,
		};
		rc = api_create(&service->api, &options, err);
	}
	if (rc == 0)
		rc = start_server(service, journal, err);
	if (rc < 0) {
		service_stop(service);
		return qosid_error_within(err, "the HTTP API");
	}
	log_start(service, journal);
	*out = service;
	return 0;
}

void service_wake(const struct service *service, const char *space)
{
	if (service)
		http_server_wake(service->server, space);
}

void service_stop(struct service *service)
{
	if (!service)
		return;
	api_stop(service->api);
	http_server_stop(service->server);
	api_free(service->api);
	config_free(&service->config);
	free(service);
}
