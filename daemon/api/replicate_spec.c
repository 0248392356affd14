/*
 * Reading replication requests: see replicate_spec.h.
 */
#include "daemon/api/replicate_spec.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 10000
#define ATTEMPTS_MAX 20
#define SECONDS_MAX 3600

static int invalid(struct qosid_errbuf *err, const char *name, const char *problem)
{
	return qosid_error(err, QOSID_ERR_INVALID, "The `%s` field %s.", name, problem);
}

/* Keep a text until the spec is freed. */
static int keep(struct replicate_spec *spec, const void *text, size_t len, const char **out, struct qosid_errbuf *err)
{
	char **strings = reallocarray(spec->strings, spec->string_count + 1, sizeof(*strings));
	char *copy;

	if (strings == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	spec->strings = strings;
	copy = malloc(len + 1);
	if (copy == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	strings[spec->string_count++] = copy;
	*out = copy;
	return 0;
}

void replicate_spec_free(struct replicate_spec *spec)
{
	for (size_t i = 0; i < spec->string_count; i++) {
		sodium_memzero(spec->strings[i], strlen(spec->strings[i]));
		free(spec->strings[i]);
	}
	free(spec->strings);
	free((void *)spec->headers[0]);
	free((void *)spec->headers[1]);
	free((void *)spec->doc_ids);
	*spec = (struct replicate_spec){0};
}

/* A string's content; it must not hold a NUL. */
static int take_string(
    struct replicate_spec *spec, struct json_slice value, const char *name, const char **out, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc;

	if (json_slice_kind(value) != JSON_STRING)
		return invalid(err, name, "must be a string");
	rc = json_string_decode(value, &text, err);
	if (rc == 0 && text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
		rc = invalid(err, name, "must not hold a NUL character");
	if (rc == 0)
		rc = keep(spec, text.data, text.len, out, err);
	qosid_buf_wipe(&text);
	return rc;
}

static int find_string(
    struct replicate_spec *spec, struct json_slice object, const char *name, const char **out, struct qosid_errbuf *err)
{
	struct json_slice value;

	if (!json_find(object, name, &value) || json_slice_kind(value) == JSON_NULL)
		return 0;
	return take_string(spec, value, name, out, err);
}

/* A value as JSON text. */
static int find_json(struct replicate_spec *spec, struct json_slice object, const char *name, enum json_kind kind,
    const char **out, struct qosid_errbuf *err)
{
	struct json_slice value;

	if (!json_find(object, name, &value) || json_slice_kind(value) == JSON_NULL)
		return 0;
	if (kind != JSON_NULL && json_slice_kind(value) != kind)
		return invalid(err, name, kind == JSON_OBJECT ? "must be an object" : "must be an array");
	return keep(spec, value.text, value.len, out, err);
}

static int find_bool(struct json_slice object, const char *name, bool *out, struct qosid_errbuf *err)
{
	struct json_slice value;

	if (!json_find(object, name, &value))
		return 0;
	if (json_slice_kind(value) != JSON_TRUE && json_slice_kind(value) != JSON_FALSE)
		return invalid(err, name, "must be a boolean");
	*out = json_slice_kind(value) == JSON_TRUE;
	return 0;
}

static int find_number(
    struct json_slice object, const char *name, unsigned divisor, unsigned max, unsigned *out, struct qosid_errbuf *err)
{
	struct json_slice value;
	unsigned long long number;

	if (!json_find(object, name, &value))
		return 0;
	if (json_parse_unsigned(value, UINT32_MAX, &number, NULL) != 0)
		return invalid(err, name, "must be a positive integer");
	number = (number + divisor - 1) / divisor;
	*out = number > max ? max : (unsigned)number;
	return 0;
}

/* {"Name":"value",..} as header lines. A line break would smuggle in further ones. */
static int take_headers(
    struct replicate_spec *spec, int which, struct json_slice list, struct couch_peer *peer, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	size_t position = 0, count = 0;
	int rc = 0;

	if (json_slice_kind(list) != JSON_OBJECT)
		return invalid(err, "headers", "must be an object");
	while (json_next(list, &position, &name, &value))
		count++;
	spec->headers[which] = calloc(count + 1, sizeof(*spec->headers[which]));
	if (spec->headers[which] == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	position = 0;
	for (size_t i = 0; rc == 0 && json_next(list, &position, &name, &value); i++) {
		struct qosid_buf line = {0};

		rc = json_slice_kind(value) == JSON_STRING ? json_string_decode(name, &line, err)
							   : invalid(err, "headers", "must hold strings");
		if (rc == 0)
			rc = qosid_buf_append_text(&line, ": ", err);
		if (rc == 0)
			rc = json_string_decode(value, &line, err);
		for (size_t k = 0; rc == 0 && k < line.len; k++) {
			if (line.data[k] < 0x20 || line.data[k] == 0x7f)
				rc = invalid(err, "headers", "has control characters");
		}
		if (rc == 0)
			rc = keep(spec, line.data, line.len, &spec->headers[which][i], err);
		qosid_buf_wipe(&line);
	}
	peer->headers = spec->headers[which];
	return rc;
}

static int take_basic(
    struct replicate_spec *spec, struct json_slice object, struct couch_peer *peer, struct qosid_errbuf *err)
{
	struct json_slice auth, basic;
	int rc;

	if (!json_find(object, "auth", &auth) || json_slice_kind(auth) != JSON_OBJECT ||
	    !json_find(auth, "basic", &basic))
		return 0;
	if (json_slice_kind(basic) != JSON_OBJECT)
		return invalid(err, "auth", "must be an object");
	rc = find_string(spec, basic, "username", &peer->user, err);
	return rc != 0 ? rc : find_string(spec, basic, "password", &peer->password, err);
}

/* A name, an address, or {"url":..,"auth":..,"headers":..}. */
static int take_end(struct replicate_spec *spec, int which, struct json_slice object, struct qosid_errbuf *err)
{
	const char *name = which == 0 ? "source" : "target", *text = NULL;
	struct replicate_end *end = which == 0 ? &spec->source : &spec->target;
	struct json_slice value, headers;
	struct qosid_buf shown = {0};
	int rc;

	if (!json_find(object, name, &value) || json_slice_kind(value) == JSON_NULL)
		return qosid_error(err, QOSID_ERR_INVALID, "Replication `%s` property is missing.", name);
	if (json_slice_kind(value) == JSON_OBJECT) {
		rc = find_string(spec, value, "url", &text, err);
		if (rc == 0 && text == NULL)
			rc = invalid(err, name, "has no `url`");
		if (rc == 0)
			rc = take_basic(spec, value, &end->peer, err);
		if (rc == 0 && json_find(value, "headers", &headers))
			rc = take_headers(spec, which, headers, &end->peer, err);
	} else {
		rc = take_string(spec, value, name, &text, err);
	}
	if (rc != 0 || text == NULL)
		return rc;
	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0) {
		end->local = end->shown = text;
		return 0;
	}
	end->peer.url = text;
	rc = couch_format_address(text, &shown, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(&shown, '/', err);
	if (rc == 0)
		rc = keep(spec, shown.data, shown.len, &end->shown, err);
	qosid_buf_free(&shown);
	return rc;
}

static int take_doc_ids(struct replicate_spec *spec, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice list, name, value;
	size_t position = 0, count = 0;
	int rc = 0;

	if (!json_find(object, "doc_ids", &list) || json_slice_kind(list) == JSON_NULL)
		return 0;
	if (json_slice_kind(list) != JSON_ARRAY)
		return invalid(err, "doc_ids", "must be an array");
	while (json_next(list, &position, &name, &value))
		count++;
	spec->doc_ids = calloc(count + 1, sizeof(*spec->doc_ids));
	if (spec->doc_ids == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	position = 0;
	for (size_t i = 0; rc == 0 && json_next(list, &position, &name, &value); i++)
		rc = take_string(spec, value, "doc_ids", &spec->doc_ids[i], err);
	spec->options.doc_ids = spec->doc_ids;
	return rc;
}

static int take_options(struct replicate_spec *spec, struct json_slice object, struct qosid_errbuf *err)
{
	struct couch_options *options = &spec->options;
	bool checkpoints = true;
	int rc = find_bool(object, "continuous", &options->continuous, err);

	if (rc == 0)
		rc = find_bool(object, "create_target", &options->create_target, err);
	if (rc == 0)
		rc = find_bool(object, "use_checkpoints", &checkpoints, err);
	if (rc == 0)
		rc = find_bool(object, "winning_revs_only", &options->winning_revs_only, err);
	options->no_checkpoints = !checkpoints;
	if (rc == 0)
		rc = take_doc_ids(spec, object, err);
	if (rc == 0)
		rc = find_json(spec, object, "selector", JSON_OBJECT, &options->selector, err);
	if (rc == 0)
		rc = find_string(spec, object, "filter", &options->filter, err);
	if (rc == 0)
		rc = find_json(spec, object, "query_params", JSON_OBJECT, &options->query_params, err);
	if (rc == 0)
		rc = find_json(spec, object, "since_seq", JSON_NULL, &options->since_seq, err);
	if (rc == 0)
		rc = find_number(object, "worker_batch_size", 1, BATCH_MAX, &options->changes_batch, err);
	if (rc == 0 && (options->doc_ids != NULL) + (options->filter != NULL) + (options->selector != NULL) > 1)
		rc = qosid_error(err, QOSID_ERR_INVALID, "`doc_ids`,`filter`,`selector` are mutually exclusive");
	return rc;
}

/* What concerns the connections; times are in milliseconds. */
static int take_connection(struct replicate_spec *spec, struct json_slice object, struct qosid_errbuf *err)
{
	struct couch_peer *peers[2] = {&spec->source.peer, &spec->target.peer};
	static const char *const proxies[2] = {"source_proxy", "target_proxy"};
	int rc = 0;

	for (int i = 0; rc == 0 && i < 2; i++) {
		rc = find_string(spec, object, "proxy", &peers[i]->proxy, err);
		if (rc == 0)
			rc = find_string(spec, object, proxies[i], &peers[i]->proxy, err);
		if (rc == 0)
			rc = find_number(
			    object, "connection_timeout", 1000, SECONDS_MAX, &peers[i]->idle_timeout_s, err);
		if (rc == 0)
			rc = find_number(object, "retries_per_request", 1, ATTEMPTS_MAX, &peers[i]->attempts, err);
	}
	return rc;
}

static void add(crypto_generichash_state *state, const char *text)
{
	if (text != NULL)
		crypto_generichash_update(state, (const uint8_t *)text, strlen(text));
	crypto_generichash_update(state, (const uint8_t *)"", 1);
}

/* The id says what is replicated between whom; the digest also how. */
static void identify(struct replicate_spec *spec)
{
	const struct couch_options *options = &spec->options;
	crypto_generichash_state state;
	uint8_t hash[16];
	char hex[33];

	(void)crypto_generichash_init(&state, NULL, 0, sizeof(hash)); /* fails on a bad length only */
	add(&state, spec->source.shown);
	add(&state, spec->target.shown);
	add(&state, options->selector);
	add(&state, options->filter);
	add(&state, options->query_params);
	add(&state, options->winning_revs_only ? "w" : "");
	for (size_t i = 0; spec->doc_ids != NULL && spec->doc_ids[i] != NULL; i++)
		add(&state, spec->doc_ids[i]);
	(void)crypto_generichash_final(&state, hash, sizeof(hash)); /* as above */
	(void)sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	(void)snprintf(spec->id, sizeof(spec->id), "%s%s%s", hex, options->continuous ? "+continuous" : "",
	    options->create_target ? "+create_target" : "");
	(void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	for (size_t i = 0; i < spec->string_count; i++)
		add(&state, spec->strings[i]);
	add(&state, spec->id);
	(void)crypto_generichash_final(&state, hash, sizeof(hash));
	(void)sodium_bin2hex(spec->digest, sizeof(spec->digest), hash, sizeof(hash));
}

int replicate_spec_parse(struct replicate_spec *out, struct json_slice object, struct qosid_errbuf *err)
{
	int rc;

	*out = (struct replicate_spec){0};
	rc = find_bool(object, "cancel", &out->cancel, err);
	if (rc == 0)
		rc = find_string(out, object, "replication_id", &out->replication_id, err);
	if (rc == 0 && out->replication_id == NULL)
		rc = find_string(out, object, "_local_id", &out->replication_id, err);
	if (rc == 0 && out->cancel && out->replication_id != NULL)
		return 0;
	if (rc == 0)
		rc = take_end(out, 0, object, err);
	if (rc == 0)
		rc = take_end(out, 1, object, err);
	if (rc == 0)
		rc = take_options(out, object, err);
	if (rc == 0)
		rc = take_connection(out, object, err);
	if (rc != 0) {
		replicate_spec_free(out);
		return rc;
	}
	identify(out);
	return 0;
}
