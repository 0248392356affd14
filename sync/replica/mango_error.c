/*
 * Mango's refusals in CouchDB's words. CouchDB shows an offending value as an Erlang term, and clients' tests look at
 * the reasons, so this does too: a string is <<98,97,100>>, an object {[{<<97>>,1}]}.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

#define TERM_BYTES 256 /* of a value in an error text */

struct term {
	char text[TERM_BYTES];
	size_t len;
};

int mango_refuse(struct qosid_errbuf *err, const char *name, const char *fmt, ...)
{
	char reason[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, args); /* cut when too long, as error texts are */
	va_end(args);
	(void)qosid_error(err, QOSID_ERR_INVALID, "%s", reason);
	if (err != NULL) {
		(void)snprintf(err->where, sizeof(err->where), "%s", name);
		err->hint[0] = '\0';
	}
	return QOSID_ERR_INVALID;
}

static void put(struct term *term, const char *text, size_t len)
{
	if (len > sizeof(term->text) - 1 - term->len)
		len = sizeof(term->text) - 1 - term->len;
	memcpy(term->text + term->len, text, len);
	term->len += len;
	term->text[term->len] = '\0';
}

static void put_string(struct term *term, struct json_slice string)
{
	struct json_points points = json_points_of(string);
	uint32_t point;
	bool first = true;

	put(term, "<<", 2);
	while (term->len < sizeof(term->text) - 1 && json_points_next(&points, &point)) {
		char utf8[4];
		size_t step = json_utf8_put(utf8, point);

		for (size_t i = 0; i < step; i++) {
			char number[8];
			int len =
			    snprintf(number, sizeof(number), first ? "%u" : ",%u", (unsigned)(unsigned char)utf8[i]);

			put(term, number, (size_t)len);
			first = false;
		}
	}
	put(term, ">>", 2);
}

static void put_value(struct term *term, struct json_slice value)
{
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	enum json_kind kind = json_slice_kind(value);
	bool first = true;

	if (kind == JSON_STRING) {
		put_string(term, value);
		return;
	}
	if (kind != JSON_ARRAY && kind != JSON_OBJECT) {
		put(term, value.text, value.len);
		return;
	}
	put(term, "{[", kind == JSON_OBJECT ? 2 : 0);
	put(term, "[", kind == JSON_ARRAY ? 1 : 0);
	while (term->len < sizeof(term->text) - 1 && json_next(value, &position, &name, &item)) {
		put(term, ",", first ? 0 : 1);
		first = false;
		if (kind == JSON_OBJECT) {
			put(term, "{", 1);
			put_string(term, name);
			put(term, ",", 1);
		}
		put_value(term, item);
		if (kind == JSON_OBJECT)
			put(term, "}", 1);
	}
	put(term, "]}", kind == JSON_OBJECT ? 2 : 0);
	put(term, "]", kind == JSON_ARRAY ? 1 : 0);
}

int mango_refuse_value(struct qosid_errbuf *err, const char *name, struct json_slice value, const char *fmt, ...)
{
	struct term term = {.len = 0};
	char head[256];
	va_list args;

	put_value(&term, value);
	va_start(args, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, args); /* cut when too long, as error texts are */
	va_end(args);
	return mango_refuse(err, name, "%s%s", head, term.text);
}
