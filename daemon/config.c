/* The daemon's configuration; see config.h. */
#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <git2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/config_internal.h"
#include "sync/roster/roster.h"

#define SECOND 1000ll
#define DAY (86400 * SECOND)
#define SPACES_MOST 1000

struct reading {
	struct config config;
	struct schedule_timing defaults;
	const char *path;
	bool daemon_pass; /* first [daemon], whose values are the defaults of every space, then the spaces */
	struct qosid_errbuf *err;
};

/* ---- where in the file ---- */

/* Take a section header `[section]` or `[section "name"]` off the line and write it as "section." or "section.name.",
 * as libgit2 names it. Returns what follows on the line. */
static char *take_section(char *line, char *section, size_t size)
{
	char word[64] = "", name[LIMIT_SLUG_BYTES + 1] = "";
	char *end = strchr(line, ']');
	if (!end)
		return line;
	(void)sscanf(line, "[ %63[A-Za-z0-9-] \"%63[^\"]\"", word, name);
	for (char *p = word; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	(void)snprintf(section, size, "%s.%s%s", word, name, *name ? "." : "");
	return end + 1;
}

/* The line that gives the entry its value, 0 when it is not found: libgit2 reports lines of syntax errors only. */
static size_t find_line(const char *path, const char *entry, const char *value)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	char *line = NULL, section[160] = "";
	size_t room = 0, number = 0, found = 0;
	while (!found && getline(&line, &room, file) >= 0) {
		number++;
		char *p = line + strspn(line, " \t");
		if (*p == '[') {
			p = take_section(p, section, sizeof section);
			p += strspn(p, " \t");
		}
		const char *key = entry + strlen(section);
		size_t len = strcspn(p, " \t=\r\n");
		if (*section && strncmp(entry, section, strlen(section)) == 0 && strlen(key) == len &&
		    strncasecmp(key, p, len) == 0 && (!value || strstr(p + len, value)))
			found = number;
	}
	free(line);
	(void)fclose(file);
	return found;
}

/* Put file and line in front of what is wrong with an entry. */
static int blame(struct reading *reading, const git_config_entry *entry)
{
	if (entry->include_depth > 0)
		return qosid_error_within(reading->err, "a file included by %s", reading->path);
	size_t line = find_line(reading->path, entry->name, entry->value);
	if (line == 0)
		return qosid_error_within(reading->err, "%s", reading->path);
	return qosid_error_within(reading->err, "%s line %zu", reading->path, line);
}

/* ---- values ---- */

/* "15m", "1h 30m", "500ms"; a number alone is seconds. */
static int parse_duration(int64_t *out, const char *text)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND}, {"d", DAY}, {"", SECOND}};
	int64_t total = 0;
	const char *p = text;
	do {
		if (!isdigit((unsigned char)*p))
			return -1;
		char *end;
		errno = 0;
		long long number = strtoll(p, &end, 10);
		size_t letters = strspn(end, "abcdefghijklmnopqrstuvwxyz"), i = 0;
		while (i < sizeof units / sizeof units[0] &&
		       (strlen(units[i].unit) != letters || strncmp(units[i].unit, end, letters) != 0))
			i++;
		if (errno != 0 || i == sizeof units / sizeof units[0] || number > 1000 * DAY / units[i].ms)
			return -1;
		total += number * units[i].ms;
		p = end + letters;
		p += strspn(p, " ");
	} while (*p);
	*out = total;
	return 0;
}

static int read_duration(
    int64_t *out, const git_config_entry *entry, int64_t least, int64_t most, struct qosid_errbuf *err)
{
	if (entry->value && parse_duration(out, entry->value) == 0 && *out >= least && *out <= most)
		return 0;
	int rc = qosid_error(err, QOSID_ERR_USAGE, "%s = %s is not a time between %lld ms and %lld s", entry->name,
	    entry->value ? entry->value : "", (long long)least, (long long)(most / SECOND));
	qosid_error_hint(err, "write it like 90s, 15m, 1h or 1h 30m");
	return rc;
}

static int read_percent(unsigned *out, const git_config_entry *entry, struct qosid_errbuf *err)
{
	char *end = NULL;
	unsigned long value =
	    entry->value && isdigit((unsigned char)*entry->value) ? strtoul(entry->value, &end, 10) : 101;
	if (value > 100 || !end || (*end && strcmp(end, "%") != 0))
		return qosid_error(err, QOSID_ERR_USAGE, "%s = %s is not a percentage from 0 to 100", entry->name,
		    entry->value ? entry->value : "");
	*out = (unsigned)value;
	return 0;
}

int config_read_path(char out[PATH_MAX], const git_config_entry *entry, struct qosid_errbuf *err)
{
	git_buf full = {0};
	int rc = 0;
	if (!entry->value || git_config_parse_path(&full, entry->value) < 0 || full.ptr[0] != '/' ||
	    full.size >= PATH_MAX) {
		rc = qosid_error(err, QOSID_ERR_USAGE, "%s = %s is not an absolute path", entry->name,
		    entry->value ? entry->value : "");
		qosid_error_hint(err, "write the path from / on, or from ~/");
	} else {
		(void)snprintf(out, PATH_MAX, "%s", full.ptr);
		for (size_t len = strlen(out); len > 1 && out[len - 1] == '/'; len--)
			out[len - 1] = '\0';
	}
	git_buf_dispose(&full);
	return rc;
}

static int read_credential(char out[NAME_MAX + 1], const git_config_entry *entry, struct qosid_errbuf *err)
{
	const char *value = entry->value ? entry->value : "";
	if (*value == '\0' || *value == '.' || strchr(value, '/') || strlen(value) > NAME_MAX)
		return qosid_error(
		    err, QOSID_ERR_USAGE, "%s = %s is not the name of a systemd credential", entry->name, value);
	(void)snprintf(out, NAME_MAX + 1, "%s", value);
	return 0;
}

/* ---- entries ---- */

/* Keys that [daemon] and every [space] know. *known is false for any other. */
static int read_timing(struct schedule_timing *timing, const git_config_entry *entry, const char *key, bool *known,
    struct qosid_errbuf *err)
{
	*known = true;
	if (strcmp(key, "interval") == 0)
		return read_duration(&timing->interval, entry, SECOND, 30 * DAY, err);
	if (strcmp(key, "debounce") == 0)
		return read_duration(&timing->debounce, entry, 10, 600 * SECOND, err);
	if (strcmp(key, "backoffmax") == 0)
		return read_duration(&timing->backoff_max, entry, SECOND, 30 * DAY, err);
	if (strcmp(key, "jitter") == 0)
		return read_percent(&timing->jitter, entry, err);
	*known = false;
	return 0;
}

int config_unknown_key(const git_config_entry *entry, struct qosid_errbuf *err)
{
	int rc = qosid_error(err, QOSID_ERR_USAGE, "unknown key %s", entry->name);
	qosid_error_hint(err, "qosidd.conf(5) lists the keys there are");
	return rc;
}

/* Find the space of this name, or begin it. */
static int obtain_space(struct reading *reading, struct config_space **out, const char *name, size_t len)
{
	struct config *config = &reading->config;
	struct qosid_errbuf why = {0};
	struct config_space space = {.timing = reading->defaults};
	if (len >= sizeof space.name)
		return qosid_error(reading->err, QOSID_ERR_USAGE, "the name of space \"%.*s\" is longer than %d bytes",
		    (int)(len < 100 ? len : 100), name, (int)LIMIT_SLUG_BYTES);
	memcpy(space.name, name, len);
	if (slug_check(space.name, &why) < 0)
		return qosid_error(reading->err, QOSID_ERR_USAGE,
		    "the name of space \"%s\" may only have a-z, 0-9 and - after a first letter or digit", space.name);
	for (size_t i = 0; i < config->count; i++) {
		if (strcmp(config->spaces[i].name, space.name) == 0) {
			*out = &config->spaces[i];
			return 0;
		}
	}
	if (config->count == SPACES_MOST)
		return qosid_error(reading->err, QOSID_ERR_USAGE, "more than %d spaces", SPACES_MOST);
	struct config_space *spaces = reallocarray(config->spaces, config->count + 1, sizeof *spaces);
	if (!spaces)
		return qosid_error(reading->err, QOSID_ERR_NOMEM, "no memory for the configuration");
	config->spaces = spaces;
	spaces[config->count] = space;
	*out = &spaces[config->count++];
	return 0;
}

static int read_space_entry(
    struct reading *reading, const git_config_entry *entry, const char *name, size_t len, const char *key)
{
	struct config_space *space = NULL;
	bool known;
	int rc = obtain_space(reading, &space, name, len);
	if (!space)
		return rc;
	rc = read_timing(&space->timing, entry, key, &known, reading->err);
	if (rc < 0 || known)
		return rc;
	if (strcmp(key, "path") == 0)
		return config_read_path(space->path, entry, reading->err);
	if (strcmp(key, "passphrasefile") == 0)
		return config_read_path(space->passphrase_file, entry, reading->err);
	if (strcmp(key, "passphrasecredential") == 0)
		return read_credential(space->credential, entry, reading->err);
	return config_unknown_key(entry, reading->err);
}

/* One entry, named "daemon.interval" or "space.register.path" (section and key in lower case). */
static int read_entry(const git_config_entry *entry, void *context)
{
	struct reading *reading = context;
	const char *first = strchr(entry->name, '.'), *last = strrchr(entry->name, '.');
	bool known = false;
	int rc = 0;

	if (strncmp(entry->name, "daemon.", 7) == 0 && first == last) {
		if (!reading->daemon_pass)
			return 0;
		rc = read_timing(&reading->defaults, entry, last + 1, &known, reading->err);
		if (rc == 0 && !known)
			rc = config_unknown_key(entry, reading->err);
	} else if (strncmp(entry->name, "http.", 5) == 0 && first == last) {
		if (reading->daemon_pass)
			return 0;
		rc = config_http_read(&reading->config.http, entry, last + 1, reading->err);
	} else if (reading->daemon_pass || strncmp(entry->name, "include", 7) == 0) {
		return 0; /* libgit2 has followed include.path and includeIf.*.path already */
	} else if (strncmp(entry->name, "space.", 6) == 0 && first != last) {
		rc = read_space_entry(reading, entry, first + 1, (size_t)(last - first - 1), last + 1);
	} else {
		rc = config_unknown_key(entry, reading->err);
	}
	return rc < 0 ? blame(reading, entry) : 0;
}

/* What only shows when all has been read. */
static int check_spaces(const struct config *config, const char *path, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < config->count; i++) {
		const struct config_space *space = &config->spaces[i];
		if (!space->path[0])
			return qosid_error(err, QOSID_ERR_USAGE, "space \"%s\" in %s has no path", space->name, path);
		if (space->passphrase_file[0] && space->credential[0])
			return qosid_error(err, QOSID_ERR_USAGE,
			    "space \"%s\" in %s has both passphraseFile and passphraseCredential", space->name, path);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(space->path, config->spaces[j].path) == 0)
				return qosid_error(err, QOSID_ERR_USAGE,
				    "spaces \"%s\" and \"%s\" in %s have the same path", config->spaces[j].name,
				    space->name, path);
		}
	}
	return 0;
}

int config_load(struct config *out, const char *path, struct qosid_errbuf *err)
{
	/* libgit2 takes an absent file for an empty one. */
	if (access(path, R_OK) < 0) {
		int rc = qosid_error(err, QOSID_ERR_USAGE, "cannot read %s: %s", path, strerror(errno));
		qosid_error_hint(err, "write it as qosidd.conf(5) says, or name another file with -c");
		return rc;
	}
	struct qosid_errbuf own = {0};
	if (!err)
		err = &own; /* what the callbacks put there is read back */
	qosid_error_clear(err);
	struct reading reading = {
	    .defaults = {.interval = 900 * SECOND, .debounce = 2 * SECOND, .backoff_max = 3600 * SECOND, .jitter = 20},
	    .path = path,
	    .daemon_pass = true,
	    .err = err,
	};
	git_config *file = NULL;
	int rc = git_config_open_ondisk(&file, path);
	if (rc < 0) {
		const git_error *git = git_error_last();
		rc = qosid_error(err, QOSID_ERR_USAGE, "%s", git && git->message ? git->message : "cannot be read");
		(void)qosid_error_within(err, "%s", path);
		goto out;
	}
	rc = git_config_foreach(file, read_entry, &reading);
	reading.daemon_pass = false;
	if (rc == 0)
		rc = git_config_foreach(file, read_entry, &reading);
	if (rc != 0 && reading.err->code == 0)
		rc = qosid_error(err, QOSID_ERR_FAILED, "cannot read the entries of %s", path);
	if (rc == 0)
		rc = check_spaces(&reading.config, path, err);
	if (rc == 0)
		rc = config_http_check(&reading.config.http, path, err);
	if (rc == 0) {
		*out = reading.config;
		reading.config = (struct config){0};
	}
out:
	git_config_free(file);
	config_free(&reading.config);
	return rc;
}

void config_free(struct config *config)
{
	free(config->spaces);
	config_http_free(&config->http);
	*config = (struct config){0};
}

const struct config_space *config_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->count; i++) {
		if (strcmp(config->spaces[i].name, name) == 0)
			return &config->spaces[i];
	}
	return NULL;
}

bool config_space_equal(const struct config_space *a, const struct config_space *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0 &&
	       strcmp(a->passphrase_file, b->passphrase_file) == 0 && strcmp(a->credential, b->credential) == 0 &&
	       a->timing.interval == b->timing.interval && a->timing.debounce == b->timing.debounce &&
	       a->timing.backoff_max == b->timing.backoff_max && a->timing.jitter == b->timing.jitter;
}
