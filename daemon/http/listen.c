/* Listening sockets. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/http/http_internal.h"

#define BACKLOG 1024

int listen_tcp(const char *address, uint16_t port, int *fd, struct qosid_errbuf *err)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char service[8];
	const int on = 1;
	(void)snprintf(service, sizeof service, "%u", (unsigned)port);
	if (getaddrinfo(address, service, &hints, &found) != 0)
		return qosid_error(err, QOSID_ERR_USAGE, "%s is not an IP address to listen on", address);
	int rc = 0;
	*fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(*fd, found->ai_addr, found->ai_addrlen) < 0 || listen(*fd, BACKLOG) < 0) {
		rc = qosid_error_errno(err, errno, "cannot listen on %s port %u", address, (unsigned)port);
		if (*fd >= 0)
			(void)close(*fd);
		*fd = -1;
	}
	freeaddrinfo(found);
	return rc;
}

uint16_t listen_port(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof address;
	char port[8] = "0";
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) != 0)
		return 0;
	return (uint16_t)strtoul(port, NULL, 10);
}

/* A socket file that nobody listens on any more. */
static void remove_stale(const struct sockaddr_un *name)
{
	struct stat st;
	int fd = lstat(name->sun_path, &st) == 0 && S_ISSOCK(st.st_mode)
		     ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
		     : -1;
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)name, sizeof *name) < 0 && errno == ECONNREFUSED)
		(void)unlink(name->sun_path); /* otherwise bind() says so */
	(void)close(fd);
}

int listen_unix(const char *path, int *fd, struct qosid_errbuf *err)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof name.sun_path)
		return qosid_error(err, QOSID_ERR_USAGE, "the socket's path %s is longer than %zu bytes", path,
		    sizeof name.sun_path - 1);
	memcpy(name.sun_path, path, strlen(path) + 1);
	remove_stale(&name);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Between bind() and listen() nobody can connect, so the mode is right before anybody does. */
	if (*fd < 0 || bind(*fd, (const struct sockaddr *)&name, sizeof name) < 0 || chmod(path, 0600) < 0 ||
	    listen(*fd, BACKLOG) < 0) {
		int rc = qosid_error_errno(err, errno, "cannot listen on the socket %s", path);
		if (*fd >= 0)
			(void)close(*fd);
		*fd = -1;
		return rc;
	}
	return 0;
}

void listen_raise_limit(unsigned connections)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)connections + connections / 4 + 512; /* temporary files, databases */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer, accept() waits for descriptors to become free */
}
