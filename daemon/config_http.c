/* The section [http] of the configuration; see config.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "daemon/config_internal.h"

#define NAMES_MOST 100
#define PORT_DEFAULT 5985
#define BODY_LEAST (1ll << 20)
#define BODY_MOST (64ll << 30)

static int bad_value(const git_config_entry *entry, const char *wanted, struct qosid_errbuf *err)
{
	return qosid_error(
	    err, QOSID_ERR_USAGE, "%s = %.100s is not %s", entry->name, entry->value ? entry->value : "", wanted);
}

/* "127.0.0.1:5985", "[::1]:5985", "5985", "off". */
static int read_listen(struct config_http *http, const git_config_entry *entry, struct qosid_errbuf *err)
{
	static const char wanted[] = "an address and a port, like 127.0.0.1:5985 or [::1]:5985, or off";
	const char *value = entry->value ? entry->value : "";
	char address[sizeof http->address] = "127.0.0.1";
	struct in6_addr parsed;
	char *end = NULL;
	http->listen_set = true;
	if (strcmp(value, "off") == 0) {
		http->address[0] = '\0';
		return 0;
	}
	const char *colon = strrchr(value, ':'), *port = colon ? colon + 1 : value;
	if (colon) {
		bool bracketed = *value == '[' && colon > value + 1 && colon[-1] == ']';
		size_t len = (size_t)(colon - value) - (bracketed ? 2 : 0);
		if (len >= sizeof address)
			return bad_value(entry, wanted, err);
		memcpy(address, value + bracketed, len);
		address[len] = '\0';
		if (inet_pton(bracketed ? AF_INET6 : AF_INET, address, &parsed) != 1)
			return bad_value(entry, wanted, err);
	}
	unsigned long number = *port >= '0' && *port <= '9' ? strtoul(port, &end, 10) : 0;
	if (!end || *end || number > UINT16_MAX)
		return bad_value(entry, wanted, err);
	memcpy(http->address, address, sizeof address);
	http->port = (uint16_t)number;
	return 0;
}

static int add_text(char ***list, const git_config_entry *entry, const char *value, struct qosid_errbuf *err)
{
	size_t count = 0;
	while (*list && (*list)[count])
		count++;
	if (count == NAMES_MOST)
		return qosid_error(err, QOSID_ERR_USAGE, "%s is given more than %d times", entry->name, NAMES_MOST);
	char **grown = reallocarray(*list, count + 2, sizeof *grown);
	if (!grown)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the configuration");
	*list = grown;
	grown[count] = strdup(value);
	grown[count + 1] = NULL;
	return grown[count] ? 0 : qosid_error(err, QOSID_ERR_NOMEM, "no memory for the configuration");
}

static int read_host(struct config_http *http, const git_config_entry *entry, struct qosid_errbuf *err)
{
	const char *value = entry->value ? entry->value : "";
	if (!*value || strpbrk(value, "/:*@ \t"))
		return bad_value(entry, "a host name without a port", err);
	return add_text(&http->hosts, entry, value, err);
}

static int read_origin(struct config_http *http, const git_config_entry *entry, struct qosid_errbuf *err)
{
	const char *value = entry->value ? entry->value : "";
	const char *name = strstr(value, "://");
	if (strcmp(value, "*") != 0 && (!name || !name[3] || strpbrk(name + 3, "/*@ \t")))
		return bad_value(entry, "an origin, like https://app.example, or *", err);
	return add_text(&http->origins, entry, value, err);
}

int config_http_read(struct config_http *http, const git_config_entry *entry, const char *key, struct qosid_errbuf *err)
{
	int64_t number;
	int rc;
	http->enabled = true;
	if (strcmp(key, "listen") == 0)
		return read_listen(http, entry, err);
	if (strcmp(key, "datadir") == 0)
		return config_read_path(http->data_dir, entry, err);
	if (strcmp(key, "host") == 0)
		return read_host(http, entry, err);
	if (strcmp(key, "origin") == 0)
		return read_origin(http, entry, err);
	if (strcmp(key, "socket") == 0) {
		rc = config_read_path(http->socket, entry, err);
		return rc == 0 && strlen(http->socket) >= sizeof((struct sockaddr_un *)NULL)->sun_path
			   ? bad_value(entry, "a path of at most 107 bytes, which sockets allow", err)
			   : rc;
	}
	if (strcmp(key, "open") == 0) {
		http->open = entry->value && strcmp(entry->value, "loopback") == 0;
		return http->open || (entry->value && strcmp(entry->value, "no") == 0)
			   ? 0
			   : bad_value(entry, "loopback or no", err);
	}
	if (strcmp(key, "maxbody") == 0) {
		if (git_config_parse_int64(&number, entry->value ? entry->value : "") < 0 || number < BODY_LEAST ||
		    number > BODY_MOST)
			return bad_value(entry, "a size from 1m to 64g", err);
		http->body_max = (uint64_t)number;
		return 0;
	}
	return config_unknown_key(entry, err);
}

int config_http_check(struct config_http *http, const char *path, struct qosid_errbuf *err)
{
	if (!http->enabled)
		return 0;
	if (!http->listen_set) {
		(void)snprintf(http->address, sizeof http->address, "127.0.0.1");
		http->port = PORT_DEFAULT;
	}
	if (http->data_dir[0])
		return 0;
	int rc = qosid_error(err, QOSID_ERR_USAGE, "[http] in %s has no dataDir", path);
	qosid_error_hint(err, "name a folder for users and for databases made over HTTP");
	return rc;
}

static void free_texts(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void config_http_free(struct config_http *http)
{
	free_texts(http->hosts);
	free_texts(http->origins);
	*http = (struct config_http){0};
}

static bool texts_equal(char *const *a, char *const *b)
{
	while (a && b && *a && *b && strcmp(*a, *b) == 0)
		a++, b++;
	return (a ? *a : NULL) == (b ? *b : NULL);
}

bool config_http_equal(const struct config_http *a, const struct config_http *b)
{
	return a->enabled == b->enabled && a->open == b->open && a->listen_set == b->listen_set && a->port == b->port &&
	       a->body_max == b->body_max && strcmp(a->address, b->address) == 0 && strcmp(a->socket, b->socket) == 0 &&
	       strcmp(a->data_dir, b->data_dir) == 0 && texts_equal(a->hosts, b->hosts) &&
	       texts_equal(a->origins, b->origins);
}
