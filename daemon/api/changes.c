/*
 * /{db}/_changes: what has changed since a sequence, at once or as it happens.
 *
 * The normal feed is one ordinary answer. The others are feeds of the server (http.h): each time the database changes,
 * a worker writes the rows that are new and leaves, so a client that listens costs memory and a socket, no thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/design.h"
#include "daemon/api/render.h"
#include "daemon/api/store.h"
#include "sync/replica/mango.h"
#include "sync/replica/replica_query.h"

#define TIMEOUT_MS 60000
#define PIECE_BYTES (256u << 10) /* of a feed that goes on: then what it has is sent first */
#define ENOUGH 1                 /* a visitor's word for stop */

enum feed_kind { FEED_NORMAL, FEED_LONGPOLL, FEED_CONTINUOUS, FEED_EVENTSOURCE };
enum filter_kind { FILTER_NONE, FILTER_IDS, FILTER_SELECTOR, FILTER_DESIGN, FILTER_FUNCTION };

struct changes {
	char *name; /* of the database */
	enum feed_kind feed;
	enum filter_kind filter;
	struct mango_selector *selector;
	struct design_filter *function;
	struct qosid_buf ids_text; /* NUL-separated; ids[] points into it */
	const char **ids;          /* sorted */
	size_t id_count;
	int64_t since; /* how far it has looked */
	int64_t last;  /* sequence of the last row, or since */
	int64_t left;  /* rows that may still be written */
	int64_t interval;
	bool descending;
	bool include_docs;
	bool all_leaves; /* style=all_docs */
	bool begun;
	struct render render;
	int64_t rows;
};

static void changes_free(void *context)
{
	struct changes *changes = context;

	mango_selector_free(changes->selector);
	design_filter_free(changes->function);
	qosid_buf_free(&changes->ids_text);
	free(changes->ids);
	free(changes->name);
	free(changes);
}

/* ---- rows ---- */

/* One pass of a feed. */
struct pass {
	struct changes *changes;
	struct api_database *database;
	struct writer writer;
	size_t written; /* bytes, roughly */
	bool paused;    /* there may be more */
};

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int matches(struct pass *pass, const struct replica_record *record, bool *match, struct qosid_errbuf *err)
{
	struct changes *changes = pass->changes;
	const char *id = (const char *)record->id.data;
	struct mango_subject subject;

	*match = true;
	switch (changes->filter) {
	case FILTER_IDS:
		*match = changes->id_count > 0 &&
			 bsearch(&id, changes->ids, changes->id_count, sizeof(*changes->ids), compare_ids) != NULL;
		return 0;
	case FILTER_DESIGN:
		*match = strncmp(id, "_design/", 8) == 0;
		return 0;
	case FILTER_SELECTOR:
		subject = mango_subject_of(record);
		return mango_match(changes->selector, &subject, match, err);
	case FILTER_FUNCTION:
		return design_filter_match(changes->function, pass->database, record, match, err);
	default:
		return 0;
	}
}

static void write_revisions(struct pass *pass, const struct replica_record *record)
{
	struct revtree_leaf leaf;

	for (size_t i = 0; revtree_leaf_at(record->tree, i, &leaf); i++) {
		writer_text(&pass->writer, i > 0 ? ",{\"rev\":" : "{\"rev\":");
		writer_revision(&pass->writer, &leaf.revision);
		writer_text(&pass->writer, "}");
		if (!pass->changes->all_leaves)
			break;
	}
}

static void write_change(struct pass *pass, const struct replica_record *record)
{
	struct changes *changes = pass->changes;
	struct writer *writer = &pass->writer;
	char sequence[API_SEQUENCE_SIZE];
	bool numbered = changes->interval <= 1 || (changes->rows + 1) % changes->interval == 0;

	api_format_sequence(pass->database, record->sequence, sequence);
	if (changes->feed == FEED_EVENTSOURCE)
		writer_text(writer, "data: ");
	else if (changes->feed != FEED_CONTINUOUS)
		writer_text(writer, changes->rows > 0 ? ",\n" : "");
	if (numbered)
		writer_format(writer, "{\"seq\":\"%s\",\"id\":", sequence);
	else
		writer_text(writer, "{\"seq\":null,\"id\":");
	writer_string(writer, (const char *)record->id.data);
	writer_text(writer, ",\"changes\":[");
	write_revisions(pass, record);
	writer_text(writer, record->deleted ? "],\"deleted\":true" : "]");
	if (changes->include_docs) {
		writer_text(writer, ",\"doc\":");
		render_document(writer, pass->database, record, &changes->render);
	}
	writer_text(writer, "}");
	if (changes->feed == FEED_EVENTSOURCE)
		writer_format(writer, "\nid: %s\n\n", sequence);
	else if (changes->feed == FEED_CONTINUOUS)
		writer_text(writer, "\n");
}

static int visit_change(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct pass *pass = context;
	struct changes *changes = pass->changes;
	bool match;
	int rc;

	if (changes->left == 0 || pass->paused) {
		pass->paused = true;
		return ENOUGH;
	}
	rc = matches(pass, record, &match, err);
	if (rc != 0)
		return rc;
	if (!changes->descending)
		changes->since = record->sequence;
	if (match) {
		write_change(pass, record);
		changes->last = record->sequence;
		changes->rows++;
		changes->left--;
		pass->written += record->id.len + record->body.len + 128;
	}
	/* The end of a limited answer is known only by looking for one more. */
	pass->paused = changes->feed >= FEED_CONTINUOUS && pass->written > PIECE_BYTES;
	return pass->writer.rc;
}

static int run_pass(struct pass *pass, struct qosid_errbuf *err)
{
	struct changes *changes = pass->changes;
	struct replica_feed feed = {.since = changes->since,
	    .descending = changes->descending,
	    .heads_only =
		!changes->include_docs && changes->filter != FILTER_SELECTOR && changes->filter != FILTER_FUNCTION};
	int rc = replica_visit_feed(pass->database->replica, &feed, visit_change, pass, err);

	return rc == ENOUGH ? 0 : rc;
}

/* "last_seq" and "pending" of an answer that ends here. */
static void write_end(struct pass *pass, const char *before)
{
	struct changes *changes = pass->changes;
	bool stopped = changes->left == 0;
	int64_t at = stopped || changes->descending ? changes->last : changes->since, pending = 0;
	char sequence[API_SEQUENCE_SIZE];

	if (pass->writer.rc == 0 && stopped && !changes->descending)
		pass->writer.rc = replica_count_changes(pass->database->replica, at, &pending, pass->writer.err);
	api_format_sequence(pass->database, at, sequence);
	writer_format(&pass->writer, "%s\"last_seq\":\"%s\",\"pending\":%" PRId64 "}\n", before, sequence, pending);
}

/* ---- the normal feed ---- */

static int answer_normal(
    struct http_call *call, struct api_database *database, struct changes *changes, struct qosid_errbuf *err)
{
	struct pass pass = {.changes = changes, .database = database, .writer = writer_begin(http_call_out(call), err)};
	int rc;

	writer_text(&pass.writer, "{\"results\":[\n");
	rc = run_pass(&pass, err);
	write_end(&pass, "\n],\n");
	if (rc != 0)
		pass.writer.out = NULL;
	return writer_end(&pass.writer) != 0 && rc == 0 ? pass.writer.rc : rc;
}

/* ---- feeds that wait ---- */

static enum http_feed_state end_feed(struct pass *pass)
{
	if (pass->changes->feed == FEED_LONGPOLL)
		write_end(pass, "\n],\n");
	else if (pass->changes->feed == FEED_CONTINUOUS)
		write_end(pass, "{");
	return FEED_END;
}

static enum http_feed_state next_state(struct pass *pass, bool timed_out)
{
	struct changes *changes = pass->changes;

	if (changes->left == 0 || timed_out || (changes->feed == FEED_LONGPOLL && changes->rows > 0))
		return end_feed(pass);
	return pass->paused ? FEED_MORE : FEED_WAIT;
}

static enum http_feed_state produce(void *context, struct http_call *call, struct spool *out, bool timed_out)
{
	struct qosid_errbuf err = {0};
	struct changes *changes = context;
	struct pass pass = {.changes = changes, .writer = writer_begin(out, &err)};
	enum http_feed_state state = FEED_END;

	/* A database that is gone ends its feeds. */
	if (api_open_database(call, changes->name, &pass.database, &err) != 0)
		return FEED_END;
	if (!changes->begun && changes->feed == FEED_LONGPOLL)
		writer_text(&pass.writer, "{\"results\":[\n");
	changes->begun = true;
	if (run_pass(&pass, &err) == 0)
		state = next_state(&pass, timed_out);
	if (writer_end(&pass.writer) != 0)
		state = FEED_END;
	api_release_database(call, pass.database);
	return state;
}

static int read_heartbeat(struct http_call *call, int64_t *out)
{
	const char *text = http_call_query(call, "heartbeat");
	struct qosid_errbuf err = {0};

	*out = 0;
	if (!text || strcmp(text, "false") == 0)
		return 0;
	if (strcmp(text, "true") == 0) {
		*out = TIMEOUT_MS;
		return 0;
	}
	if (http_call_query_number(call, "heartbeat", 0, out, &err) == 0 && *out > 0)
		return 0;
	return reply_error(
	    call, 400, "bad_request", "The heartbeat value should be a positive integer (in milliseconds).");
}

static int subscribe(struct http_call *call, struct changes *changes, struct qosid_errbuf *err)
{
	bool events = changes->feed == FEED_EVENTSOURCE;
	struct http_feed feed = {.produce = produce, .free_context = changes_free, .context = changes};
	int rc = read_heartbeat(call, &feed.heartbeat_ms);

	if (rc == 0)
		rc = request_number(call, "timeout", TIMEOUT_MS, &feed.timeout_ms);
	if (rc == 0 && events)
		rc = http_call_set_header(call, "Content-Type", "text/event-stream", err);
	if (rc != 0) {
		changes_free(changes);
		return rc;
	}
	if (feed.timeout_ms > TIMEOUT_MS || feed.timeout_ms <= 0)
		feed.timeout_ms = feed.timeout_ms <= 0 ? 1 : TIMEOUT_MS;
	(void)snprintf(
	    feed.heartbeat_text, sizeof(feed.heartbeat_text), "%s", events ? "event: heartbeat\ndata: \n\n" : "\n");
	(void)snprintf(feed.topic, sizeof(feed.topic), "%s", changes->name);
	return http_call_subscribe(call, &feed, err);
}

/* ---- parameters ---- */

/* "now", a number, or "N-<instance>". A sequence of another instance of the database begins from the start. */
static int parse_since(
    struct http_call *call, struct api_database *database, const char *text, int64_t *out, struct qosid_errbuf *err)
{
	struct replica_info info;
	unsigned long long number;
	size_t len = strlen(text), digits;
	int rc;

	*out = 0;
	if (strcmp(text, "now") == 0) {
		rc = replica_read_info(database->replica, &info, err);
		*out = rc == 0 ? info.sequence : 0;
		return rc;
	}
	if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
		text++;
		len -= 2;
	}
	digits = strspn(text, "0123456789");
	if (digits > len)
		digits = len;
	if (digits == 0 || json_parse_unsigned((struct json_slice){text, digits}, INT64_MAX, &number, NULL) != 0 ||
	    (digits < len && text[digits] != '-'))
		return reply_error(call, 400, "bad_request", "Malformed sequence supplied in 'since' parameter.");
	if (digits < len && (len - digits - 1 != strlen(database->instance) ||
				memcmp(text + digits + 1, database->instance, len - digits - 1) != 0))
		return strspn(text + digits + 1, "0123456789abcdef") == len - digits - 1
			   ? 0
			   : reply_error(call, 400, "bad_request", "Malformed sequence supplied in 'since' parameter.");
	*out = (int64_t)number;
	return 0;
}

static int read_since(
    struct http_call *call, struct api_database *database, struct changes *changes, struct qosid_errbuf *err)
{
	const char *text = http_call_query(call, "since"), *event = http_call_header(call, "Last-Event-ID");
	struct replica_info info;
	int rc;

	if (!event)
		event = http_call_query(call, "last-event-id");
	if (event && *event)
		text = event;
	rc = text && *text ? parse_since(call, database, text, &changes->since, err) : 0;
	changes->last = changes->since;
	if (rc == 0 && changes->descending) {
		rc = replica_read_info(database->replica, &info, err);
		changes->last = rc == 0 ? info.sequence : 0;
	}
	return rc;
}

static int read_feed(struct http_call *call, struct changes *changes)
{
	const char *text = http_call_query(call, "feed");

	if (!text || strcmp(text, "normal") == 0)
		changes->feed = FEED_NORMAL;
	else if (strcmp(text, "longpoll") == 0)
		changes->feed = FEED_LONGPOLL;
	else if (strcmp(text, "continuous") == 0 || strcmp(text, "live") == 0)
		changes->feed = FEED_CONTINUOUS;
	else if (strcmp(text, "eventsource") == 0)
		changes->feed = FEED_EVENTSOURCE;
	else
		return reply_error(call, 400, "bad_request",
		    "Supported `feed` types: normal, continuous, live, longpoll, eventsource");
	return 0;
}

/* The list of doc_ids becomes a sorted array. */
static int take_ids(struct http_call *call, struct changes *changes, struct json_slice list, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	size_t position = 0, count = 0;
	const char *at;
	int rc = 0;

	if (json_slice_kind(list) != JSON_ARRAY)
		return reply_error(call, 400, "bad_request", "`doc_ids` filter parameter is not a list.");
	while (rc == 0 && json_next(list, &position, &name, &value)) {
		if (json_slice_kind(value) != JSON_STRING)
			return reply_error(
			    call, 400, "bad_request", "`doc_ids` filter parameter must be a list of strings.");
		rc = json_string_decode(value, &changes->ids_text, err);
		if (rc == 0)
			rc = qosid_buf_append_byte(&changes->ids_text, '\0', err);
		count++;
	}
	if (rc != 0 || count == 0)
		return rc;
	changes->ids = calloc(count, sizeof(*changes->ids));
	if (!changes->ids)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	at = (const char *)changes->ids_text.data;
	/* A NUL inside an id makes two of it, and then fewer fit than there are: none of them can match anything. */
	for (changes->id_count = 0; changes->id_count < count; changes->id_count++) {
		changes->ids[changes->id_count] = at;
		at += strlen(at) + 1;
	}
	qsort(changes->ids, count, sizeof(*changes->ids), compare_ids);
	return 0;
}

static int read_ids(struct http_call *call, struct changes *changes, struct json_slice body, struct qosid_errbuf *err)
{
	const char *query = http_call_query(call, "doc_ids");
	struct json_slice list;

	changes->filter = FILTER_IDS;
	if (json_find(body, "doc_ids", &list))
		return take_ids(call, changes, list, err);
	if (!query)
		return reply_error(call, 400, "bad_request", "`doc_ids` filter parameter is not a list.");
	list = (struct json_slice){query, strlen(query)};
	if (json_check(list.text, list.len, NULL) != 0)
		return reply_error(call, 400, "bad_request", "invalid UTF-8 JSON");
	return take_ids(call, changes, list, err);
}

static int read_selector(
    struct http_call *call, struct changes *changes, struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice selector;
	int rc;

	changes->filter = FILTER_SELECTOR;
	if (!json_find(body, "selector", &selector))
		return reply_error(call, 400, "bad_request", "Selector must be specified in POST payload");
	rc = mango_selector_parse(&changes->selector, selector, err);
	if (rc == QOSID_ERR_INVALID)
		return reply_error(
		    call, 400, err && *err->where ? err->where : "bad_request", err ? err->what : "invalid selector");
	return rc;
}

static int read_filter(struct http_call *call, struct api_database *database, struct changes *changes,
    struct json_slice body, struct qosid_errbuf *err)
{
	const char *filter = http_call_query(call, "filter");

	if (!filter || !*filter)
		return 0;
	if (strcmp(filter, "_doc_ids") == 0)
		return read_ids(call, changes, body, err);
	if (strcmp(filter, "_selector") == 0)
		return read_selector(call, changes, body, err);
	if (strcmp(filter, "_design") == 0) {
		changes->filter = FILTER_DESIGN;
		return 0;
	}
	changes->filter = FILTER_FUNCTION;
	return design_filter_open(&changes->function, call, database, filter, err);
}

static int read_parameters(struct http_call *call, struct api_database *database, struct changes *changes,
    struct json_slice body, struct qosid_errbuf *err)
{
	const char *style = http_call_query(call, "style");
	int rc = read_feed(call, changes);

	changes->all_leaves = style && strcmp(style, "all_docs") == 0;
	if (rc == 0 && style && !changes->all_leaves && strcmp(style, "main_only") != 0)
		rc = reply_error(call, 400, "bad_request", "Invalid value for `style`");
	if (rc == 0)
		rc = render_options(call, &changes->render);
	if (rc == 0)
		rc = request_bool(call, "descending", false, &changes->descending);
	if (rc == 0)
		rc = request_bool(call, "include_docs", false, &changes->include_docs);
	if (rc == 0)
		rc = request_number(call, "limit", INT64_MAX, &changes->left);
	if (rc == 0)
		rc = request_number(call, "seq_interval", 1, &changes->interval);
	if (rc == 0)
		rc = read_since(call, database, changes, err);
	return rc != 0 ? rc : read_filter(call, database, changes, body, err);
}

static int answer(
    struct http_call *call, struct api_database *database, struct json_slice body, struct qosid_errbuf *err)
{
	struct changes *changes = calloc(1, sizeof(*changes));
	int rc;

	if (!changes || !(changes->name = strdup(database->name))) {
		free(changes);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	rc = read_parameters(call, database, changes, body, err);
	/* Backwards there is nothing to wait for. */
	if (rc == 0 && changes->feed != FEED_NORMAL && !changes->descending)
		return subscribe(call, changes, err);
	if (rc == 0) {
		changes->feed = FEED_NORMAL;
		rc = answer_normal(call, database, changes, err);
		if (rc < 0 && changes->filter == FILTER_FUNCTION)
			rc = design_reply_failure(call, rc, err);
	}
	changes_free(changes);
	return rc;
}

int api_changes_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	enum http_method method = http_call_method(call);
	struct qosid_buf text = {0};
	struct json_slice body = {"{}", 2};
	int rc = 0;

	if (method != HTTP_GET && method != HTTP_HEAD && method != HTTP_POST)
		return api_done(reply_method(call, "GET,HEAD,POST"));
	if (method == HTTP_POST) {
		rc = request_need_json(call);
		if (rc == 0 && http_call_body(call) && spool_length(http_call_body(call)) > 0)
			rc = request_read_object(call, &text, &body, err);
	}
	if (rc == 0)
		rc = answer(call, database, body, err);
	qosid_buf_free(&text);
	return api_done(rc);
}
