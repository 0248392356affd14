/* What header values mean: Accept, Content-Type, ETags, Range, Host, Origin; see http_internal.h. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/http/http_internal.h"

#define BLANKS " \t"

/* ---- Accept, Content-Type ---- */

/* "q=0.8" among the parameters of a range, in thousandths. */
static unsigned read_quality(const char *parameters, size_t len)
{
	for (size_t i = 0; i < len;) {
		i += strspn(parameters + i, BLANKS ";");
		size_t n = strcspn(parameters + i, ";,");
		if (i < len && n > 2 && (parameters[i] == 'q' || parameters[i] == 'Q') && parameters[i + 1] == '=') {
			char number[8] = "";
			memcpy(number, parameters + i + 2, n - 2 < 7 ? n - 2 : 7);
			double q = strtod(number, NULL);
			return q >= 1 ? 1000 : q > 0 ? (unsigned)(q * 1000) : 0;
		}
		i += n;
	}
	return 1000;
}

unsigned http_accept_quality(const char *accept, const char *type)
{
	const char *slash = strchr(type, '/');
	size_t major = slash ? (size_t)(slash - type) + 1 : strlen(type);
	unsigned quality = 0;
	int best = -1;
	if (!accept)
		return 1000;
	for (const char *p = accept; *p;) {
		p += strspn(p, BLANKS ",");
		size_t len = strcspn(p, ","), name = strcspn(p, BLANKS ";,");
		int closeness = -1;
		if (name == strlen(type) && strncasecmp(p, type, name) == 0)
			closeness = 2;
		else if (name == major + 1 && p[major] == '*' && strncasecmp(p, type, major) == 0)
			closeness = 1;
		else if (name == 3 && strncmp(p, "*/*", 3) == 0)
			closeness = 0;
		if (closeness > best) {
			best = closeness;
			quality = read_quality(p + name, len - name);
		}
		p += len;
	}
	return quality;
}

bool http_type_is(const char *value, const char *type)
{
	if (!value)
		return false;
	value += strspn(value, BLANKS);
	size_t len = strcspn(value, BLANKS ";");
	return len == strlen(type) && strncasecmp(value, type, len) == 0;
}

/* ---- ETags ---- */

bool http_etag_listed(const char *list, const char *etag)
{
	size_t size = strlen(etag);
	if (strncmp(etag, "W/", 2) == 0) {
		etag += 2;
		size -= 2;
	}
	for (const char *p = list; *p;) {
		p += strspn(p, BLANKS ",");
		if (*p == '*')
			return true;
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		size_t len = strcspn(p, ",");
		if (*p == '"') {
			const char *end = strchr(p + 1, '"');
			len = end ? (size_t)(end - p) + 1 : len;
		}
		size_t bare = len;
		while (bare > 0 && strchr(BLANKS, p[bare - 1]))
			bare--;
		if (bare == size && strncmp(p, etag, size) == 0)
			return true;
		p += len;
	}
	return false;
}

/* ---- Range ---- */

static bool read_number(const char **p, uint64_t *out)
{
	if (!isdigit((unsigned char)**p))
		return false;
	*out = 0;
	for (; isdigit((unsigned char)**p); (*p)++) {
		unsigned digit = (unsigned)(**p - '0');
		*out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
	}
	return true;
}

int http_range_parse(const char *value, uint64_t length, uint64_t *first, uint64_t *count)
{
	uint64_t from = 0, to = UINT64_MAX;
	if (!value || strncasecmp(value, "bytes=", 6) != 0)
		return 0;
	const char *p = value + 6;
	bool has_from = read_number(&p, &from);
	if (*p++ != '-')
		return 0;
	bool has_to = read_number(&p, &to);
	if (*p != '\0' || (!has_from && !has_to) || (has_from && has_to && to < from))
		return 0;
	if (!has_from) { /* the last so many */
		if (to == 0 || length == 0)
			return -1;
		*first = to >= length ? 0 : length - to;
		*count = length - *first;
		return 1;
	}
	if (from >= length)
		return -1;
	*first = from;
	*count = (to >= length ? length - 1 : to) - from + 1;
	return 1;
}

/* ---- Host, Origin ---- */

/* The name in "name:port", in "[::1]:port"; its length, 0 when it is not well-formed. */
static size_t name_length(const char *host)
{
	size_t len = strcspn(host, ":");
	if (*host == '[') {
		const char *end = strchr(host, ']');
		len = end ? (size_t)(end - host) + 1 : 0;
	}
	if (len == 0 || len > 255)
		return 0;
	const char *port = host + len;
	if (*port == ':')
		port += 1 + strspn(port + 1, "0123456789");
	return *port == '\0' ? len : 0;
}

static bool is_address(const char *name, size_t len)
{
	struct in6_addr address;
	char text[256];
	bool bracketed = *name == '[';
	if (bracketed) {
		name++;
		len -= 2;
	}
	memcpy(text, name, len);
	text[len] = '\0';
	return inet_pton(bracketed ? AF_INET6 : AF_INET, text, &address) == 1;
}

bool http_host_allowed(const char *host, const char *const *names)
{
	size_t len = name_length(host);
	if (len == 0)
		return false;
	if ((len == 9 && strncasecmp(host, "localhost", 9) == 0) || is_address(host, len))
		return true;
	for (; names && *names; names++) {
		if (strlen(*names) == len && strncasecmp(*names, host, len) == 0)
			return true;
	}
	return false;
}

bool http_origin_allowed(const char *origin, const char *const *origins)
{
	for (; origins && *origins; origins++) {
		if (strcmp(*origins, "*") == 0 || strcasecmp(*origins, origin) == 0)
			return true;
	}
	return false;
}

bool http_origin_is_host(const char *origin, const char *host)
{
	const char *authority = strstr(origin, "://");
	return authority && strcasecmp(authority + 3, host) == 0;
}
