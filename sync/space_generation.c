/*
 * Generations as a space offers them: the settings under [generation] of its config, and beginning one by hand.
 */
#include <inttypes.h>
#include <string.h>

#include "sync/space_internal.h"

static int read_number(git_config *config, const char *key, int64_t *out, struct qosid_errbuf *err)
{
	int code = git_config_get_int64(out, config, key);

	if (code == GIT_ENOTFOUND)
		return 0;
	if (code != 0 || *out < 0)
		return space_config_failure(err, QOSID_ERR_INVALID, "a limit under [generation] is no number");
	return 0;
}

static int read_settings(struct exchange_generations *out, git_config *config, struct qosid_errbuf *err)
{
	const char *archives;
	git_config *snapshot = NULL;
	int fetch = 0, code, rc;

	if ((rc = read_number(config, "generation.bytes", &out->bytes, err)) != 0 ||
	    (rc = read_number(config, "generation.days", &out->days, err)) != 0)
		return rc;
	code = git_config_get_bool(&fetch, config, "generation.fetch");
	if (code != 0 && code != GIT_ENOTFOUND)
		return space_config_failure(err, QOSID_ERR_INVALID, "generation.fetch is neither true nor false");
	out->fetch = fetch != 0;
	if (git_config_snapshot(&snapshot, config) != 0)
		return space_config_failure(err, QOSID_ERR_INVALID, "the space's config cannot be read");
	if (git_config_get_string(&archives, snapshot, "generation.archives") == 0) {
		out->keep = strcmp(archives, "keep") == 0;
		if (!out->keep && strcmp(archives, "drop") != 0)
			rc = qosid_error(err, QOSID_ERR_INVALID, "generation.archives is neither keep nor drop");
	}
	git_config_free(snapshot);
	return rc;
}

int space_read_generations(struct space *space, struct exchange_generations *out, struct qosid_errbuf *err)
{
	git_config *config = NULL;
	int rc;

	*out = (struct exchange_generations){
	    .bytes = EXCHANGE_GENERATION_BYTES, .days = EXCHANGE_GENERATION_DAYS, .keep = true};
	if ((rc = space_config_open(&config, space->dir, err)) != 0)
		return rc;
	if ((rc = read_settings(out, config, err)) != 0)
		(void)qosid_error_within(err, "%s/config", space->dir);
	git_config_free(config);
	return rc;
}

int space_write_generations(struct space *space, const struct exchange_generations *settings, struct qosid_errbuf *err)
{
	struct space_config_edit edit;
	int rc;

	if ((rc = space_hold(space, err)) != 0)
		return rc;
	rc = space_config_begin_edit(&edit, space->dir, err);
	if (rc == 0 &&
	    (git_config_set_int64(edit.config, "generation.bytes", settings->bytes) != 0 ||
		git_config_set_int64(edit.config, "generation.days", settings->days) != 0 ||
		git_config_set_bool(edit.config, "generation.fetch", settings->fetch) != 0 ||
		git_config_set_string(edit.config, "generation.archives", settings->keep ? "keep" : "drop") != 0))
		rc = space_config_failure(err, QOSID_ERR_IO, "the space's config cannot be written");
	rc = space_config_end_edit(&edit, space->dir, rc, err);
	space_release(space);
	return rc;
}

int space_restart(struct space *space, const struct exchange_progress *progress, struct exchange_report *report,
    struct qosid_errbuf *err)
{
	int rc;

	if ((rc = space_begin_exchange(space, progress, err)) != 0)
		return rc;
	rc = exchange_restart(&space->exchange, err);
	space_end_exchange(space, report);
	return rc;
}
