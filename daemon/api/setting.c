/* Numbers that a database keeps for its clients; see setting.h. */
#include "daemon/api/setting.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sync/replica/replica.h"

int64_t setting_read(struct api_database *database, const struct setting *setting)
{
	struct qosid_buf body = {0};
	struct json_slice object, value;
	unsigned long long number;
	int64_t out = setting->fallback;

	if (replica_read_local(database->replica, setting->name, &body, NULL) == 0 &&
	    json_check_object((const char *)body.data, body.len, &object, NULL) == 0 &&
	    json_find(object, "value", &value) && json_parse_unsigned(value, INT32_MAX, &number, NULL) == 0)
		out = (int64_t)number;
	qosid_buf_free(&body);
	return out;
}

static int parse_value(struct http_call *call, const struct setting *setting, int64_t *out, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct json_slice value;
	unsigned long long number = 0;
	int rc = request_read_json(call, &text, &value, err);

	while (rc == 0 && value.len > 0 && strchr(" \t\r\n", value.text[value.len - 1]))
		value.len--;
	while (rc == 0 && value.len > 0 && strchr(" \t\r\n", value.text[0]))
		value.text++, value.len--;
	if (rc == 0 && (json_slice_kind(value) != JSON_NUMBER ||
			   json_parse_unsigned(value, INT32_MAX, &number, NULL) != 0 || number == 0))
		rc = reply_error(call, 400, "bad_request", setting->refusal);
	*out = (int64_t)number;
	qosid_buf_free(&text);
	return rc;
}

static int put_setting(
    struct http_call *call, struct api_database *database, const struct setting *setting, struct qosid_errbuf *err)
{
	int64_t number = 0;
	char object[64];
	int rc = api_authorize(call, database, true, err);

	if (rc == 0)
		rc = parse_value(call, setting, &number, err);
	if (rc == 0)
		rc = api_begin_write(database, err);
	if (rc != 0)
		return rc;
	(void)snprintf(object, sizeof(object), "{\"value\":%" PRId64 "}", number);
	rc = replica_put_local(database->replica, setting->name, (struct json_slice){object, strlen(object)}, err);
	if (rc != 0) {
		api_abort_write(database);
		return rc;
	}
	rc = api_commit_write(database, err);
	return rc != 0 ? rc : http_call_json(call, 200, "{\"ok\":true}");
}

int setting_route(
    struct http_call *call, struct api_database *database, const struct setting *setting, struct qosid_errbuf *err)
{
	switch (http_call_method(call)) {
	case HTTP_PUT:
		return put_setting(call, database, setting, err);
	case HTTP_GET:
	case HTTP_HEAD:
		return http_call_json(call, 200, "%" PRId64, setting_read(database, setting));
	default:
		return reply_method(call, "GET,PUT");
	}
}
