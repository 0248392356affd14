/*
 * The URL of a remote, taken apart: see link_url.h.
 *
 * URLs come out of invitations and config files, so they are hostile: they are matched against what is allowed, not
 * searched for what is forbidden.
 */
#include "sync/exchange/link_url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HTTPS_PORT 443u

static int refuse(struct qosid_errbuf *err, const char *why)
{
	int rc = qosid_error(err, QOSID_ERR_USAGE, "this is no URL of a remote: %s", why);

	qosid_error_hint(err, "a remote is ssh://user@host/path, user@host:path, https://host/path or a folder");
	return rc;
}

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Copy a part that may hold letters, digits and the characters of extra. */
static int take_part(
    char *out, size_t size, const char *text, size_t len, const char *extra, const char *what, struct qosid_errbuf *err)
{
	char why[96];

	if (len == 0 || len >= size || text[0] == '-' || text[0] == '.') {
		(void)snprintf(why, sizeof(why), "its %s is %s", what,
		    len == 0      ? "missing"
		    : len >= size ? "too long"
				  : "malformed: it begins with a dash or a dot");
		return refuse(err, why);
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_letter_or_digit(text[i]) && (text[i] == '\0' || strchr(extra, text[i]) == NULL)) {
			(void)snprintf(why, sizeof(why), "its %s holds a character that does not belong there", what);
			return refuse(err, why);
		}
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

static int take_address(struct link_url *out, const char *text, size_t len, struct qosid_errbuf *err)
{
	if (len == 0 || len > 45)
		return refuse(err, "its IPv6 address is malformed");
	for (size_t i = 0; i < len; i++) {
		if (hex_value(text[i]) < 0 && text[i] != ':' && text[i] != '.')
			return refuse(err, "its IPv6 address is malformed");
	}
	memcpy(out->host, text, len);
	out->host[len] = '\0';
	return 0;
}

static int take_port(struct link_url *out, const char *text, size_t len, struct qosid_errbuf *err)
{
	unsigned port = 0;

	if (len == 0 || len > 5)
		return refuse(err, "its port is no number from 1 to 65535");
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return refuse(err, "its port is no number from 1 to 65535");
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	if (port == 0 || port > 65535)
		return refuse(err, "its port is no number from 1 to 65535");
	out->port = port;
	return 0;
}

/* [user@]host[:port], where the port is no business of the scp-like form. */
static int take_authority(struct link_url *out, const char *text, size_t len, bool with_port, struct qosid_errbuf *err)
{
	const char *end = text + len, *at = memrchr(text, '@', len), *host = at != NULL ? at + 1 : text, *colon;
	int rc;

	if (at != NULL && memchr(text, ':', (size_t)(at - text)) != NULL) {
		rc = refuse(err, "a password does not belong in it, where everybody sees it");
		if (err != NULL)
			err->hint[0] = '\0';
		qosid_error_hint(err, "put a token into a file of mode 0600 and give --token-file FILE");
		return rc;
	}
	if (at != NULL &&
	    (rc = take_part(out->user, sizeof(out->user), text, (size_t)(at - text), "._+-", "user", err)) != 0)
		return rc;
	if (host < end && *host == '[') {
		const char *close = memchr(host, ']', (size_t)(end - host));

		if (close == NULL)
			return refuse(err, "its IPv6 address has no end");
		if ((rc = take_address(out, host + 1, (size_t)(close - host - 1), err)) != 0)
			return rc;
		colon = close + 1;
		if (colon < end && *colon != ':')
			return refuse(err, "something stands between its host and its path");
	} else {
		colon = with_port ? memchr(host, ':', (size_t)(end - host)) : NULL;
		if (colon == NULL)
			colon = end;
		rc = take_part(out->host, sizeof(out->host), host, (size_t)(colon - host), "._-", "host", err);
		if (rc != 0)
			return rc;
	}
	if (colon == end)
		return 0;
	return with_port ? take_port(out, colon + 1, (size_t)(end - colon - 1), err)
			 : refuse(err, "something stands between its host and its path");
}

static int check_path_byte(unsigned char c, struct qosid_errbuf *err)
{
	return c < 0x20 || c == 0x7f ? refuse(err, "its path holds a control character") : 0;
}

/* Of ssh://: percent-encoding is undone, as git does, and "/~" means somebody's home there. */
static int take_ssh_path(struct link_url *out, const char *path, bool encoded, struct qosid_errbuf *err)
{
	size_t len = 0;
	int rc;

	for (const char *p = path; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (encoded && c == '%') {
			int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);

			if (low < 0)
				return refuse(err, "a % in its path is not followed by two hex digits");
			c = (unsigned char)(high * 16 + low);
			p += 2;
		}
		if ((rc = check_path_byte(c, err)) != 0)
			return rc;
		out->path[len++] = (char)c;
	}
	out->path[len] = '\0';
	if (encoded && strncmp(out->path, "/~", 2) == 0)
		memmove(out->path, out->path + 1, len);
	if (out->path[0] == '-')
		return refuse(err, "its path begins with a dash");
	return out->path[0] == '\0' || strcmp(out->path, "/") == 0 ? refuse(err, "it names no repository") : 0;
}

/* Whether a segment, decoded, is "." or "..". */
static bool is_dots(const char *segment, size_t len)
{
	size_t dots = 0, i = 0;

	for (; i < len; dots++) {
		if (segment[i] == '.')
			i++;
		else if (i + 3 <= len && strncasecmp(segment + i, "%2e", 3) == 0)
			i += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

/* Of https://: it travels as it is, so it must be what a server takes it for. */
static int take_https_path(struct link_url *out, const char *path, struct qosid_errbuf *err)
{
	size_t len = strlen(path);
	int rc;

	while (len > 0 && path[len - 1] == '/')
		len--;
	if (len == 0)
		return refuse(err, "it names no repository");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)path[i];

		if (c == '?' || c == '#' || c == '\\' || c == ' ' || c >= 0x80)
			return refuse(err, "its path holds a character that must be percent-encoded or left out");
		if ((rc = check_path_byte(c, err)) != 0)
			return rc;
		if (c == '/') {
			size_t segment = strcspn(path + i + 1, "/");

			if (segment == 0 || is_dots(path + i + 1, segment))
				return refuse(err, "its path holds an empty part or a part of dots only");
		}
		if (c == '%') {
			int high = i + 2 < len ? hex_value(path[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_value(path[i + 2]);

			if (low < 0)
				return refuse(err, "a % in its path is not followed by two hex digits");
			c = (unsigned char)(high * 16 + low);
			if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '%')
				return refuse(err, "its path hides a character by percent-encoding");
		}
	}
	memcpy(out->path, path, len);
	out->path[len] = '\0';
	return 0;
}

static int parse_url(struct link_url *out, const char *url, const char *rest, struct qosid_errbuf *err)
{
	size_t scheme = (size_t)(rest - url), authority = strcspn(rest + 3, "/");
	const char *path = rest + 3 + authority;
	int rc;

	if (scheme == 4 && strncasecmp(url, "file", 4) == 0) {
		if (authority != 0)
			return refuse(err, "a file:// URL names no host");
		out->scheme = LINK_FOLDER;
		return take_ssh_path(out, path, true, err);
	}
	if (scheme == 3 && strncasecmp(url, "ssh", 3) == 0)
		out->scheme = LINK_SSH;
	else if (scheme == 5 && strncasecmp(url, "https", 5) == 0)
		out->scheme = LINK_HTTPS;
	else {
		rc = qosid_error(err, QOSID_ERR_USAGE, "%.*s:// is not spoken", (int)(scheme < 20 ? scheme : 20), url);
		qosid_error_hint(err, "use ssh:// or https://, which keep out who listens or changes what passes");
		return rc;
	}
	if ((rc = take_authority(out, rest + 3, authority, true, err)) != 0)
		return rc;
	if (*path != '/')
		return refuse(err, "it names no repository");
	return out->scheme == LINK_SSH ? take_ssh_path(out, path, true, err) : take_https_path(out, path, err);
}

int link_url_parse(struct link_url *out, const char *url, struct qosid_errbuf *err)
{
	size_t len = url != NULL ? strlen(url) : 0, host;
	const char *rest;
	int rc;

	*out = (struct link_url){.scheme = LINK_FOLDER};
	if (len == 0)
		return refuse(err, "it is empty");
	if (len > LINK_URL_BYTES)
		return refuse(err, "it is too long");
	if (url[0] == '-')
		return refuse(err, "it begins with a dash");
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)url[i] < 0x20 || url[i] == 0x7f)
			return refuse(err, "it holds a control character");
	}
	rest = strstr(url, "://");
	for (const char *p = url; rest != NULL && p < rest; p++) {
		if (!is_letter_or_digit(*p) && strchr("+-.", *p) == NULL)
			rest = NULL;
	}
	if (rest != NULL)
		return parse_url(out, url, rest, err);
	/* host:path, where the colon comes before any slash; of an IPv6 address, the colon after its brackets. */
	host = strcspn(url, ":/");
	if (url[host] == ':' && strchr(url, '[') != NULL && strchr(url, '[') < url + host)
		host = strchr(url, ']') != NULL ? (size_t)(strchr(url, ']') + 1 - url) : host;
	if (url[host] != ':') {
		memcpy(out->path, url, len + 1);
		return 0;
	}
	if (url[host + 1] == ':')
		return refuse(err, "it would have git run a program of its own");
	out->scheme = LINK_SSH;
	if ((rc = take_authority(out, url, host, false, err)) != 0)
		return rc;
	return take_ssh_path(out, url + host + 1, false, err);
}

int link_parse_url(const char *url, enum link_scheme *scheme, struct qosid_errbuf *err)
{
	struct link_url parsed;
	int rc = link_url_parse(&parsed, url, err);

	if (rc == 0)
		*scheme = parsed.scheme;
	return rc;
}

void link_url_format_origin(char out[LINK_ORIGIN_SIZE], const struct link_url *url)
{
	bool address = strchr(url->host, ':') != NULL;
	int len = snprintf(out, LINK_ORIGIN_SIZE, "https://%s%s%s", address ? "[" : "", url->host, address ? "]" : "");

	if (url->port != 0 && len > 0)
		(void)snprintf(out + len, LINK_ORIGIN_SIZE - (size_t)len, ":%u", url->port);
}

bool link_url_same_origin(const struct link_url *a, const struct link_url *b)
{
	return a->scheme == LINK_HTTPS && b->scheme == LINK_HTTPS && strcasecmp(a->host, b->host) == 0 &&
	       (a->port != 0 ? a->port : HTTPS_PORT) == (b->port != 0 ? b->port : HTTPS_PORT);
}
