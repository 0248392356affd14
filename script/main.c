/*
 * qosid-script: runs the JavaScript functions of design documents, and can do nothing else.
 *
 * It reads requests of CouchDB's query server protocol from standard input, one JSON array a line, and writes one line
 * of answer for each, after lines of ["log", text]. script/server.js says what each request means. This file
 * reads lines and chooses the realm: each design document has globals of its own, and so have the functions of
 * add_fun, whose realm is made anew by "reset".
 *
 * Exit status: 0 at the end of the input, 10 bad usage or no sandbox, 11 out of memory, 12 a line that is too long;
 * 1 to 9 are traps of the engine.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "script/engine.h"
#include "script/sandbox.h"

#define EXIT_SETUP 10
#define EXIT_MEMORY 11
#define EXIT_LINE 12
#define LINE_BYTES (64u << 20)
#define DESIGNS_MAX 32
#define GRACE_SECONDS 2 /* beyond the parent's limit */

/* script/server.js, as it is. */
__asm__(".section .rodata\n"
	".global server_js, server_js_end\n"
	"server_js:\n"
	".incbin \"script/server.js\"\n"
	"server_js_end:\n"
	".previous\n");
extern const char server_js[], server_js_end[];

struct design {
	char *id; /* as it is written in JSON */
	struct realm *realm;
	unsigned long used;
};

struct server {
	struct realm *views;
	struct design designs[DESIGNS_MAX];
	unsigned long clock;
};

static struct realm *new_realm(void)
{
	struct realm *realm = realm_new(server_js, (size_t)(server_js_end - server_js));

	if (!realm)
		_exit(EXIT_MEMORY);
	return realm;
}

/* ---- lines ---- */

static void write_all(const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n <= 0)
			_exit(0); /* nobody listens any more */
		data += n;
		len -= (size_t)n;
	}
}

struct input {
	char *data;
	size_t len, size, start;
};

/* The next line without its end; false at the end of the input. */
static bool read_line(struct input *input, const char **line, size_t *len)
{
	size_t seen = input->start;

	for (;;) {
		char *end = input->len > seen ? memchr(input->data + seen, '\n', input->len - seen) : NULL;
		ssize_t n;

		if (end) {
			*line = input->data + input->start;
			*len = (size_t)(end - *line);
			input->start += *len + 1;
			return true;
		}
		seen = input->len;
		if (input->start > 0) {
			memmove(input->data, input->data + input->start, input->len - input->start);
			input->len -= input->start;
			seen -= input->start;
			input->start = 0;
		}
		if (input->len == input->size) {
			size_t size = input->size ? 2 * input->size : 64u << 10;
			char *data = size <= LINE_BYTES ? realloc(input->data, size) : NULL;

			if (!data)
				_exit(EXIT_LINE);
			input->data = data;
			input->size = size;
		}
		n = read(STDIN_FILENO, input->data + input->len, input->size - input->len);
		if (n <= 0)
			return false;
		input->len += (size_t)n;
	}
}

/* ---- requests ---- */

static bool starts_with(const char *line, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0;
}

/* The length of the JSON string that text begins with, quotes included; 0: there is none. */
static size_t string_length(const char *text, size_t len)
{
	if (len == 0 || text[0] != '"')
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (text[i] == '\\')
			i++;
		else if (text[i] == '"')
			return i + 1;
	}
	return 0;
}

static struct design *find_design(struct server *server, const char *id, size_t len)
{
	for (size_t i = 0; i < DESIGNS_MAX; i++) {
		struct design *design = &server->designs[i];

		if (design->id && strlen(design->id) == len && memcmp(design->id, id, len) == 0)
			return design;
	}
	return NULL;
}

/* A place for a new design document: its own old one, a free one, or that of the one used longest ago. */
static struct design *place_design(struct server *server, const char *id, size_t len)
{
	struct design *design = find_design(server, id, len);

	for (size_t i = 0; !design && i < DESIGNS_MAX; i++) {
		if (!server->designs[i].id)
			design = &server->designs[i];
	}
	if (!design) {
		design = &server->designs[0];
		for (size_t i = 1; i < DESIGNS_MAX; i++) {
			if (server->designs[i].used < design->used)
				design = &server->designs[i];
		}
	}
	free(design->id);
	realm_free(design->realm);
	design->realm = NULL;
	design->id = strndup(id, len);
	if (!design->id)
		_exit(EXIT_MEMORY);
	design->realm = new_realm();
	return design;
}

/* The realm for ["ddoc","new",id,..] or ["ddoc",id,..]; NULL: there is no such design document here. */
static struct realm *choose_design(struct server *server, const char *line, size_t len)
{
	static const char call[] = "[\"ddoc\",", make[] = "[\"ddoc\",\"new\",";
	bool made = starts_with(line, len, make);
	size_t skip = made ? sizeof(make) - 1 : sizeof(call) - 1;
	size_t id_len = string_length(line + skip, len - skip);
	struct design *design;

	if (id_len == 0)
		return NULL;
	design = made ? place_design(server, line + skip, id_len) : find_design(server, line + skip, id_len);
	if (!design)
		return NULL;
	design->used = ++server->clock;
	return design->realm;
}

/* Functions of views see no time, or an index would depend on when it was built. Others see the moment of the call. */
static int64_t moment(void)
{
	struct timespec now;

	return clock_gettime(CLOCK_REALTIME, &now) == 0 ? (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 : 0;
}

static void answer(struct server *server, const char *line, size_t len)
{
	static const char unknown[] = "[\"error\",\"uncached_ddoc\",\"the design document is not known here\"]\n";
	bool design = starts_with(line, len, "[\"ddoc\",");
	struct realm *realm;
	char *text;
	size_t n;

	engine_set_time(design ? moment() : 0);
	if (starts_with(line, len, "[\"reset\"") || !server->views) {
		realm_free(server->views);
		server->views = new_realm();
	}
	realm = design ? choose_design(server, line, len) : server->views;
	if (!realm) {
		write_all(unknown, sizeof(unknown) - 1);
		return;
	}
	text = realm_call(realm, line, len, &n);
	if (!text)
		_exit(EXIT_MEMORY);
	text[n++] = '\n'; /* in place of the NUL: one write */
	write_all(text, n);
}

/* A whole number of 1 to max, or 0. */
static unsigned read_number(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return *text && *end == '\0' && value <= max ? (unsigned)value : 0;
}

int main(int argc, char **argv)
{
	unsigned memory_mib = argc == 3 ? read_number(argv[1], 4095) : 0;
	unsigned seconds = argc == 3 ? read_number(argv[2], 86400) : 0;
	struct server server = {0};
	struct input input = {0};
	const char *line;
	size_t len;

	if (memory_mib == 0 || seconds == 0) {
		(void)fputs("usage: qosid-script MEMORY_MIB SECONDS\n"
			    "qosidd starts it to run functions of design documents; see qosid-script(8)\n",
		    stderr);
		return EXIT_SETUP;
	}
	if (sandbox_limit(memory_mib) < 0 || engine_start(memory_mib) < 0 || sandbox_seal() < 0)
		return EXIT_SETUP;
	while (read_line(&input, &line, &len)) {
		sandbox_arm(seconds + GRACE_SECONDS);
		answer(&server, line, len);
	}
	_exit(0);
}
