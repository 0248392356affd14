/*
 * Addresses of peers and the credentials for them: taken apart here, so that no password gets into a log or a
 * checkpoint's name.
 */
#include "sync/couch/address.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREDENTIALS_BYTES 4096

int couch_append_encoded(struct qosid_buf *out, const void *text, size_t len, bool keep_slash, struct qosid_errbuf *err)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	const unsigned char *bytes = text;
	int code = 0;

	for (size_t i = 0; code == 0 && i < len; i++) {
		if (bytes[i] != '\0' && (strchr(unreserved, bytes[i]) != NULL || (keep_slash && bytes[i] == '/')))
			code = qosid_buf_append_byte(out, bytes[i], err);
		else
			code = qosid_buf_append_format(out, err, "%%%02X", bytes[i]);
	}
	return code;
}

static int bad_address(struct qosid_errbuf *err, const char *why)
{
	(void)qosid_error(err, QOSID_ERR_USAGE, "not an address of a database: %s", why);
	qosid_error_hint(err, "an address looks like https://couch.example.org/register");
	return QOSID_ERR_USAGE;
}

static char *part_of(CURLU *url, CURLUPart part, unsigned flags)
{
	char *curl_text = NULL, *text;

	if (curl_url_get(url, part, &curl_text, flags) != CURLUE_OK)
		return NULL;
	text = strdup(curl_text);
	curl_free(curl_text);
	return text;
}

/* Split the path into what comes before the database and the database. */
static int split_path(struct couch_address *out, char *path, struct qosid_errbuf *err)
{
	size_t len = strlen(path);
	char *slash;
	int unescaped_len;
	char *unescaped;

	while (len > 0 && path[len - 1] == '/')
		path[--len] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL || slash[1] == '\0')
		return bad_address(err, "it names a server, but no database");
	if (strlen(slash + 1) >= sizeof(out->database))
		return bad_address(err, "the database's name is too long");
	(void)snprintf(out->database, sizeof(out->database), "%s", slash + 1);
	*slash = '\0';
	unescaped = curl_easy_unescape(NULL, out->database, 0, &unescaped_len);
	if (unescaped == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	for (int i = 0; i < unescaped_len; i++) {
		if ((unsigned char)unescaped[i] < 0x21 || (unsigned char)unescaped[i] == 0x7f) {
			curl_free(unescaped);
			return bad_address(err, "the database's name has characters that none can have");
		}
	}
	(void)snprintf(out->name, sizeof(out->name), "%s/%s", out->host, unescaped);
	curl_free(unescaped);
	return 0;
}

static int take_parts(struct couch_address *out, CURLU *url, struct qosid_errbuf *err)
{
	char *scheme = part_of(url, CURLUPART_SCHEME, 0), *host = part_of(url, CURLUPART_HOST, 0);
	char *port = part_of(url, CURLUPART_PORT, 0), *path = part_of(url, CURLUPART_PATH, 0);
	char *query = part_of(url, CURLUPART_QUERY, 0), *fragment = part_of(url, CURLUPART_FRAGMENT, 0);
	int code = 0;

	out->user = part_of(url, CURLUPART_USER, CURLU_URLDECODE);
	out->password = part_of(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
	if (scheme == NULL || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		code = bad_address(err, "it must begin with https:// or http://");
	if (code == 0 && (host == NULL || path == NULL))
		code = bad_address(err, "it is not complete");
	if (code != 0 || host == NULL || path == NULL)
		goto out;
	if (query != NULL || fragment != NULL)
		code = bad_address(err, "it must end with the database, without ? or #");
	else if (strlen(host) >= sizeof(out->host))
		code = bad_address(err, "the host's name is too long");
	(void)snprintf(out->host, sizeof(out->host), "%.*s", (int)sizeof(out->host) - 1, host);
	if (code == 0)
		code = split_path(out, path, err);
	if (code == 0 && asprintf(&out->server, "%s://%s%s%s%s/", scheme, host, port != NULL ? ":" : "",
			     port != NULL ? port : "", path) < 0) {
		out->server = NULL;
		code = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
out:
	free(scheme);
	free(host);
	free(port);
	free(path);
	free(query);
	free(fragment);
	return code;
}

int couch_address_parse(struct couch_address *out, const char *text, struct qosid_errbuf *err)
{
	CURLU *url = curl_url();
	int code;

	*out = (struct couch_address){0};
	if (url == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (strlen(text) > COUCH_ADDRESS_BYTES || strpbrk(text, " \t\r\n") != NULL)
		code = bad_address(err, "it is too long or has white space");
	else if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
		code = bad_address(err, "it cannot be read as a URL");
	else
		code = take_parts(out, url, err);
	curl_url_cleanup(url);
	if (code != 0)
		couch_address_free(out);
	return code;
}

static void wipe(char *text)
{
	if (text != NULL)
		sodium_memzero(text, strlen(text));
	free(text);
}

void couch_address_free(struct couch_address *address)
{
	free(address->server);
	wipe(address->user);
	wipe(address->password);
	*address = (struct couch_address){0};
}

int couch_format_address(const char *url, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct couch_address address;
	int code = couch_address_parse(&address, url, err);

	if (code != 0)
		return code;
	code = qosid_buf_append_format(out, err, "%s%s", address.server, address.database);
	couch_address_free(&address);
	return code;
}

/* ---- credentials ---- */

static int read_line(int fd, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	struct stat status;
	ssize_t got;
	char *end;

	if (fstat(fd, &status) != 0)
		return qosid_error_errno(err, errno, "cannot look at %s", path);
	if (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0) {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "others can read %s, which holds a password", path);
		qosid_error_hint(err, "chmod 600 %s", path);
		return QOSID_ERR_REFUSED;
	}
	if (qosid_buf_reserve(buf, CREDENTIALS_BYTES, err) != 0)
		return QOSID_ERR_NOMEM;
	got = read(fd, buf->data, CREDENTIALS_BYTES - 1);
	if (got < 0)
		return qosid_error_errno(err, errno, "cannot read %s", path);
	buf->len = (size_t)got;
	buf->data[buf->len] = '\0';
	end = strpbrk((char *)buf->data, "\r\n");
	if (end != NULL)
		*end = '\0';
	return 0;
}

int couch_read_credentials(
    const char *path, struct qosid_buf *buf, const char **user, const char **password, struct qosid_errbuf *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *colon;
	int code;

	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open %s", path);
	code = read_line(fd, path, buf, err);
	(void)close(fd);
	if (code != 0)
		return code;
	colon = strchr((char *)buf->data, ':');
	if (colon == NULL || colon == (char *)buf->data) {
		code = qosid_error(err, QOSID_ERR_INVALID, "the first line of %s is not user:password", path);
		return code;
	}
	*colon = '\0';
	*user = (const char *)buf->data;
	*password = colon + 1;
	return 0;
}
