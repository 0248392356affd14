/*
 * Request targets: "/db/a%2Fb?rev=1-x&q=a+b" taken apart.
 *
 * Empty segments are passed over, so "/db/" is "/db". A % that two hex digits do not follow stands for itself, as in
 * CouchDB. Decoded text is UTF-8 without NUL, so it can be handed on as C strings.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/http/http_internal.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Length of the UTF-8 sequence at p, 0 when there is none: no overlong forms, no surrogates. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* Decode len bytes at *to, which moves behind the NUL that is put there. */
static int decode(char **to, const char *from, size_t len, bool plus, struct qosid_errbuf *err)
{
	char *begin = *to, *p = begin;
	for (size_t i = 0; i < len; i++) {
		int high = -1, low = -1;
		if (from[i] == '%' && len - i > 2) {
			high = hex_value(from[i + 1]);
			low = hex_value(from[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			*p++ = (char)(high << 4 | low);
			i += 2;
		} else {
			*p++ = from[i];
		}
		if (plus && from[i] == '+')
			p[-1] = ' ';
	}
	size_t made = (size_t)(p - begin);
	for (size_t at = 0, step; at < made; at += step) {
		step = sequence_length((const unsigned char *)begin + at, made - at);
		if (step == 0 || begin[at] == '\0')
			return qosid_error(err, QOSID_ERR_INVALID, "the URL is not UTF-8 text");
	}
	*p++ = '\0';
	*to = p;
	return 0;
}

static size_t count_char(const char *text, size_t len, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == c;
	return n;
}

static int parse_path(struct http_target *target, char **to, const char *path, size_t len, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < len;) {
		const char *slash = memchr(path + i, '/', len - i);
		size_t n = slash ? (size_t)(slash - path) - i : len - i;
		if (n > 0) {
			char *segment = *to;
			int rc = decode(to, path + i, n, false, err);
			if (rc < 0)
				return rc;
			target->segments[target->segment_count++] = segment;
		}
		i += n + 1;
	}
	return 0;
}

static int parse_query(struct http_target *target, char **to, const char *query, struct qosid_errbuf *err)
{
	while (*query) {
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		size_t name_len = equals ? (size_t)(equals - query) : len;
		if (len > 0) {
			struct http_parameter *parameter = &target->parameters[target->parameter_count++];
			parameter->name = *to;
			int rc = decode(to, query, name_len, true, err);
			parameter->value = *to;
			if (rc == 0)
				rc = decode(to, equals ? equals + 1 : "", equals ? len - name_len - 1 : 0, true, err);
			if (rc < 0)
				return rc;
		}
		query += len;
		query += *query == '&';
	}
	return 0;
}

int http_target_parse(struct http_target *out, const char *uri, struct qosid_errbuf *err)
{
	if (*uri != '/') { /* "http://host/path", as to a proxy; "*" */
		const char *authority = strstr(uri, "://");
		uri = authority ? authority + 3 : uri;
		uri += strcspn(uri, "/?");
	}
	size_t len = strcspn(uri, "?#");
	const char *query = uri[len] == '?' ? uri + len + 1 : "";
	size_t query_len = strcspn(query, "#");
	size_t segments = count_char(uri, len, '/') + 1, parameters = count_char(query, query_len, '&') + 1;

	/* Decoding makes nothing longer; every part gets a NUL of its own. */
	out->raw = strndup(uri, len);
	char *cut = strndup(query, query_len);
	out->text = malloc(len + query_len + segments + 2 * parameters + 1);
	out->segments = calloc(segments, sizeof *out->segments);
	out->parameters = calloc(parameters, sizeof *out->parameters);
	int rc = 0;
	if (!out->raw || !cut || !out->text || !out->segments || !out->parameters) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "no memory for a request");
		goto out;
	}
	char *to = out->text;
	rc = parse_path(out, &to, uri, len, err);
	if (rc == 0 && out->segment_count > HTTP_SEGMENTS_MAX)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the URL has more than %d parts", HTTP_SEGMENTS_MAX);
	if (rc == 0)
		rc = parse_query(out, &to, cut, err);
out:
	free(cut);
	return rc;
}

void http_target_free(struct http_target *target)
{
	free(target->raw);
	free(target->text);
	free(target->segments);
	free(target->parameters);
	*target = (struct http_target){0};
}

int http_visit_form(const char *text,
    int (*visit)(void *context, const char *name, const char *value, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct http_target form = {0};
	size_t most = count_char(text, strlen(text), '&') + 1;
	form.text = malloc(strlen(text) + 2 * most + 1);
	form.parameters = calloc(most, sizeof *form.parameters);
	if (!form.text || !form.parameters) {
		http_target_free(&form);
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a form");
	}
	char *to = form.text;
	int rc = parse_query(&form, &to, text, err);
	for (size_t i = 0; i < form.parameter_count && rc == 0; i++)
		rc = visit(context, form.parameters[i].name, form.parameters[i].value, err);
	http_target_free(&form);
	return rc;
}
