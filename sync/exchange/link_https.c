/*
 * A link over https: libcurl's multi interface, so that nothing blocks, with bounded buffers both ways.
 *
 * A question of up to COLLECT_BYTES is sent as a whole, in gzip where that helps; a longer one (a pack) leaves while it
 * is written. An answer is taken from the network as it is read. A redirect is followed only for the greeting and only
 * within the same server; the login goes nowhere else.
 */
#include "sync/exchange/link_https.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLLECT_BYTES (1u << 20)
#define AHEAD_BYTES (256u << 10)
#define FAULT_MAX (64u << 10) /* an error answer is cut off there */
#define REDIRECTS_MAX 3

/* ---- callbacks: libcurl calls them on this thread ---- */

size_t link_https_take_head(char *data, size_t size, size_t count, void *context)
{
	struct link_https *https = context;
	size_t len = size * count;
	char text[64];

	link_watch_hear(&https->watch);
	if (len > 5 && len < sizeof(text) && strncasecmp(data, "date:", 5) == 0) {
		memcpy(text, data + 5, len - 5);
		text[len - 5] = '\0';
		time_t there = curl_getdate(text, NULL);

		https->clock_known = there > 0;
		https->clock_skew = https->clock_known ? (int64_t)there - (int64_t)time(NULL) : 0;
	}
	return len;
}

size_t link_https_take_answer(char *data, size_t size, size_t count, void *context)
{
	struct link_https *https = context;
	size_t len = size * count, room = LINK_HTTPS_FAULT_BYTES - https->fault.len;
	long status = 0;

	link_watch_hear(&https->watch);
	(void)curl_easy_getinfo(https->easy, CURLINFO_RESPONSE_CODE, &status); /* known by now */
	if (status != 200) {
		if (qosid_buf_append(&https->fault, data, len < room ? len : room, &https->failure) != 0)
			return 0;
		https->fault_seen += len;
		return https->fault_seen <= FAULT_MAX ? len : 0;
	}
	if (https->in.len - https->in_used >= AHEAD_BYTES) {
		https->holding_down = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	return qosid_buf_append(&https->in, data, len, &https->failure) == 0 ? len : 0;
}

size_t link_https_give_question(char *data, size_t size, size_t count, void *context)
{
	struct link_https *https = context;
	size_t room = size * count, len = https->out.len - https->out_used;

	link_watch_hear(&https->watch);
	if (len == 0 && !https->complete) {
		https->holding_up = true;
		return CURL_READFUNC_PAUSE;
	}
	if (len > room)
		len = room;
	if (len > 0)
		memcpy(data, https->out.data + https->out_used, len);
	https->out_used += len;
	if (https->out_used == https->out.len) {
		qosid_buf_reset(&https->out);
		https->out_used = 0;
	}
	return len;
}

/* ---- requests ---- */

static void end_request(struct link_https *https)
{
	if (https->running)
		(void)curl_multi_remove_handle(https->multi, https->easy); /* it is in there */
	https->running = https->finished = false;
	https->holding_down = https->holding_up = false;
	qosid_buf_reset(&https->in);
	https->in_used = 0;
}

static int begin_request(struct link_https *https, bool post, struct qosid_errbuf *err)
{
	int rc;

	end_request(https);
	qosid_buf_reset(&https->fault);
	https->fault_seen = 0;
	https->greeting = !post;
	qosid_error_clear(&https->failure);
	https->curl_error[0] = '\0';
	https->status = 0;
	https->result = CURLE_OK;
	if ((rc = link_https_prepare(https, post, err)) != 0)
		return rc;
	if (curl_multi_add_handle(https->multi, https->easy) != CURLM_OK)
		return qosid_error(err, QOSID_ERR_NOMEM, "libcurl cannot begin a request");
	https->running = true;
	https->link.traffic.round_trips++;
	link_watch_hear(&https->watch);
	return 0;
}

/* Let libcurl work; wait for the network when wait is true. */
static int step(struct link_https *https, bool wait, struct qosid_errbuf *err)
{
	CURLMsg *message;
	int active = 0, left, rc;

	if ((rc = link_watch_check(&https->watch, err)) != 0)
		return rc;
	if (curl_multi_perform(https->multi, &active) != CURLM_OK)
		return qosid_error(err, QOSID_ERR_FAILED, "libcurl cannot go on");
	while ((message = curl_multi_info_read(https->multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		https->finished = true;
		https->result = message->data.result;
		(void)curl_easy_getinfo(https->easy, CURLINFO_RESPONSE_CODE, &https->status); /* 0 when there is none */
	}
	link_https_count(https);
	if (!https->finished && wait && curl_multi_poll(https->multi, NULL, 0, LINK_SLICE_MS, NULL) != CURLM_OK)
		return qosid_error(err, QOSID_ERR_FAILED, "libcurl cannot wait");
	return 0;
}

/* Let libcurl go on where a callback had told it to hold. */
static int resume(struct link_https *https, struct qosid_errbuf *err)
{
	bool down = https->holding_down && https->in.len == https->in_used;
	bool up = https->holding_up && (https->complete || https->out.len > https->out_used);
	int mask;

	if (!https->running || https->finished || (!down && !up))
		return 0;
	https->holding_down = https->holding_down && !down;
	https->holding_up = https->holding_up && !up;
	mask = (https->holding_down ? CURLPAUSE_RECV : 0) | (https->holding_up ? CURLPAUSE_SEND : 0);
	if (curl_easy_pause(https->easy, mask) != CURLE_OK && https->failure.code == 0)
		return qosid_error(err, QOSID_ERR_OFFLINE, "the link broke: %s", https->curl_error);
	return 0;
}

/* What the other side has against the question, once the request has ended. */
static int judge(struct link_https *https, struct qosid_errbuf *err)
{
	enum link_stage stage = LINK_STAGE_START;

	return link_https_judge(https, &stage, err);
}

/* ---- the class ---- */

static int https_read(struct link *link, void *out, size_t size, size_t *got, struct qosid_errbuf *err)
{
	struct link_https *https = (struct link_https *)link;
	int rc = 0;

	link_watch_hear(&https->watch);
	while (https->in.len == https->in_used) {
		if (!https->running)
			return 0;
		if (https->finished)
			return judge(https, err);
		if ((rc = resume(https, err)) != 0 || (rc = step(https, https->in.len == https->in_used, err)) != 0)
			return rc;
	}
	*got = https->in.len - https->in_used < size ? https->in.len - https->in_used : size;
	memcpy(out, https->in.data + https->in_used, *got);
	https->in_used += *got;
	if (https->in_used == https->in.len) {
		qosid_buf_reset(&https->in);
		https->in_used = 0;
	}
	return 0;
}

/* Send until no more than so much is left. */
static int drain(struct link_https *https, size_t left, struct qosid_errbuf *err)
{
	int rc;

	link_watch_hear(&https->watch);
	while (https->out.len - https->out_used > left) {
		if ((rc = resume(https, err)) != 0 || (rc = step(https, true, err)) != 0)
			return rc;
		if (https->finished) { /* before it had heard all: it does not like it */
			rc = judge(https, err);
			return rc != 0 ? rc
				       : qosid_error(err, QOSID_ERR_OFFLINE, "%s ended the conversation early",
					     https->url.host);
		}
	}
	return 0;
}

static int https_write(struct link *link, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct link_https *https = (struct link_https *)link;
	const uint8_t *bytes = data;
	int rc = 0;

	if (!https->asked) { /* a new question: what was not read of the last answer will not be */
		end_request(https);
		qosid_buf_reset(&https->out);
		https->out_used = 0;
		https->streaming = https->complete = https->packed = false;
		https->asked = true;
	}
	while (rc == 0 && len > 0) {
		size_t part = len < AHEAD_BYTES ? len : AHEAD_BYTES;

		if ((rc = qosid_buf_append(&https->out, bytes, part, err)) != 0)
			break;
		bytes += part;
		len -= part;
		if (!https->streaming && https->out.len > COLLECT_BYTES) {
			https->streaming = true;
			rc = begin_request(https, true, err);
		}
		if (rc == 0 && https->streaming)
			rc = drain(https, AHEAD_BYTES, err);
	}
	return rc;
}

static int https_turn(struct link *link, struct qosid_errbuf *err)
{
	struct link_https *https = (struct link_https *)link;
	int rc;

	if (!https->asked)
		return 0;
	https->asked = false;
	https->complete = true;
	if (https->streaming)
		return drain(https, 0, err);
	if ((rc = link_https_pack(https, err)) != 0)
		return rc;
	return begin_request(https, true, err);
}

static void https_close(struct link *link)
{
	struct link_https *https = (struct link_https *)link;

	end_request(https);
	curl_easy_cleanup(https->easy);         /* accepts NULL */
	(void)curl_multi_cleanup(https->multi); /* closes the sockets, which counts them; accepts NULL */
	curl_slist_free_all(https->heads);
	link_login_free(&https->login);
	qosid_buf_wipe(&https->out);
	qosid_buf_free(&https->in);
	qosid_buf_free(&https->fault);
	free(https);
}

static const struct link_class https_class = {
    .read = https_read,
    .write = https_write,
    .turn = https_turn,
    .close = https_close,
    .is_stateless = true,
};

/* ---- opening ---- */

static void start_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT); /* curl_easy_init() fails when this has */
}

static int create(struct link_https **out, const struct link_url *url, const struct link_target *target,
    const char *service, const struct link_limits *limits, struct qosid_errbuf *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct link_https *https = calloc(1, sizeof(*https));

	if (https == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	(void)pthread_once(&once, start_curl); /* fails on bad arguments only */
	https->link.class = &https_class;
	https->url = *url;
	https->target = *target;
	link_watch_begin(&https->watch, limits);
	(void)strncat(https->service, service, sizeof(https->service) - 1);
	for (size_t i = 0; i < LINK_HTTPS_SOCKETS; i++)
		https->sockets[i] = -1;
	https->easy = curl_easy_init();
	https->multi = curl_multi_init();
	if (https->easy == NULL || https->multi == NULL) {
		https_close(&https->link);
		return qosid_error(err, QOSID_ERR_NOMEM, "libcurl cannot start");
	}
	*out = https;
	return 0;
}

static int find_login(struct link_https *https, struct qosid_errbuf *err)
{
	const struct link_target *target = &https->target;

	if (target->token_file != NULL)
		return link_login_read(&https->login, target->token_file, err);
	/* Before it is asked for, since each question more is a way there and back on a slow link. */
	if (target->credential_helper != NULL)
		return link_login_ask(
		    &https->login, target->credential_helper, &https->url, "get", &https->watch.limits, err);
	return 0;
}

/* Tell the helper how its login did. It is a courtesy: nothing depends on it. */
static void report_login(struct link_https *https, const char *action)
{
	if (https->login.from_helper)
		(void)link_login_ask(
		    &https->login, https->target.credential_helper, &https->url, action, &https->watch.limits, NULL);
}

/* Follow a redirect of the greeting within the same server. Returns whether there is something to follow. */
static bool follow(struct link_https *https)
{
	static const char mark[] = "/info/refs?service=";
	const char *where = NULL, *end;
	struct link_url next;
	char text[LINK_URL_BYTES + 1];

	if (https->result != CURLE_OK || https->status < 301 || https->status > 308 || https->status == 304 ||
	    curl_easy_getinfo(https->easy, CURLINFO_REDIRECT_URL, &where) != CURLE_OK || where == NULL ||
	    (end = strstr(where, mark)) == NULL || strcmp(end + sizeof(mark) - 1, https->service) != 0 ||
	    (size_t)(end - where) >= sizeof(text))
		return false;
	memcpy(text, where, (size_t)(end - where));
	text[end - where] = '\0';
	if (link_url_parse(&next, text, NULL) != 0 || !link_url_same_origin(&next, &https->url))
		return false;
	memcpy(https->url.path, next.path, sizeof(next.path));
	return true;
}

/* Until the greeting begins, or the request has ended. */
static int greet(struct link_https *https, struct qosid_errbuf *err)
{
	int rc = begin_request(https, false, err);

	while (rc == 0 && !https->finished && https->in.len == 0)
		rc = step(https, true, err);
	if (rc == 0 && !https->finished)
		(void)curl_easy_getinfo(
		    https->easy, CURLINFO_RESPONSE_CODE, &https->status); /* known: there is a body */
	return rc;
}

/* How far a connection has come that is not there yet. */
static enum link_stage read_stage(struct link_https *https)
{
	curl_off_t name = 0, connect = 0, secure = 0;

	(void)curl_easy_getinfo(https->easy, CURLINFO_NAMELOOKUP_TIME_T, &name); /* 0 when there is none */
	(void)curl_easy_getinfo(https->easy, CURLINFO_CONNECT_TIME_T, &connect);
	(void)curl_easy_getinfo(https->easy, CURLINFO_APPCONNECT_TIME_T, &secure);
	return secure > 0    ? LINK_STAGE_HOST
	       : connect > 0 ? LINK_STAGE_CONNECT
	       : name > 0    ? LINK_STAGE_NAME
			     : LINK_STAGE_START;
}

static void note_version(const struct link_https *https, struct link_probe *probe)
{
	long version = 0;

	(void)curl_easy_getinfo(https->easy, CURLINFO_HTTP_VERSION, &version); /* 0 when there is none */
	(void)snprintf(probe->version, sizeof(probe->version), "%s",
	    version == CURL_HTTP_VERSION_2_0   ? "2"
	    : version == CURL_HTTP_VERSION_1_1 ? "1.1"
	    : version == CURL_HTTP_VERSION_1_0 ? "1.0"
					       : "");
	probe->clock_known = https->clock_known;
	probe->clock_skew = https->clock_skew;
}

int link_https_open(struct link **out, const struct link_url *url, const struct link_target *target,
    const char *service, const struct link_limits *limits, struct link_probe *probe, struct qosid_errbuf *err)
{
	struct link_https *https = NULL;
	int rc;

	rc = create(&https, url, target, service, limits, err);
	if (https == NULL)
		return rc;
	if ((rc = find_login(https, err)) != 0 || (rc = greet(https, err)) != 0)
		goto out;
	for (int i = 0; rc == 0 && i < REDIRECTS_MAX && follow(https); i++)
		rc = greet(https, err);
	if (rc != 0)
		goto out;
	probe->stage = read_stage(https);
	rc = link_https_judge(https, &probe->stage, err);
	if (rc == 0 || https->status == 401)
		report_login(https, rc == 0 ? "store" : "erase");
out:
	if (rc != 0 && probe->stage == LINK_STAGE_START)
		probe->stage = read_stage(https);
	note_version(https, probe);
	if (rc != 0)
		https_close(&https->link);
	else
		*out = &https->link;
	return rc;
}
