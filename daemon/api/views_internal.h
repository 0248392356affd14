/* Shared by the files of views over HTTP. */
#ifndef QOSID_DAEMON_API_VIEWS_INTERNAL_H
#define QOSID_DAEMON_API_VIEWS_INTERNAL_H

#include "daemon/api/render.h"
#include "daemon/api/scripts.h"
#include "daemon/api/views.h"

/* ---- views_options.c ---- */

enum view_freshness { VIEW_UPDATE, VIEW_NO_UPDATE, VIEW_LAZY };

/* What one query asks. Slices and texts point into the call's query or body, or into texts. */
struct view_options {
	struct http_call *call;
	bool has_reduce; /* the view has a reduce function */
	struct view_range range;
	struct json_slice keys; /* an array; len 0: none */
	int reduce;             /* -1: not said */
	int group;
	int64_t group_level; /* -1: not said */
	enum view_freshness freshness;
	bool include_docs;
	int conflicts; /* -1: not said */
	bool update_seq;
	bool unsorted;
	struct render render;
	struct qosid_buf start_id, end_id;
};
void view_options_init(struct view_options *options, struct http_call *call, bool has_reduce);
void view_options_free(struct view_options *options);
/* Each answers what is wrong. */
int view_options_read_query(struct view_options *options, struct qosid_errbuf *err);
int view_options_read_object(struct view_options *options, struct json_slice object, struct qosid_errbuf *err);
int view_options_check(struct view_options *options, struct views *views, struct qosid_errbuf *err);
static inline bool view_options_reduces(const struct view_options *options)
{
	return options->has_reduce && options->reduce != 0;
}
static inline int64_t view_options_level(const struct view_options *options)
{
	if (options->group_level >= 0)
		return options->group_level;
	return options->group > 0 ? VIEW_GROUP_EXACT : VIEW_GROUP_NONE;
}

/* ---- views_build.c ---- */

/* Build for a short time, or wait for who does; *ready when the index is up to date, with the reductions of a view
 * (-1: of none). */
int view_build_turn(struct api_database *database, const struct view_group *group, int view, const char *design,
    bool *ready, struct qosid_errbuf *err);
bool view_build_runs(struct api_database *database, const struct view_group *group);

/* ---- views_engine.c ---- */

/* The functions of one group, in a process borrowed when first needed. */
struct script_engine {
	struct api_database *database;
	const struct view_group *group;
	struct scripts_loan *loan;
	struct qosid_buf request, answer;
};
struct view_engine script_engine_bind(struct script_engine *engine);
/* Whether its functions compile: QOSID_ERR_FAILED otherwise, with the function's error. */
int script_engine_compile(struct script_engine *engine, struct qosid_errbuf *err);
void script_engine_end(struct script_engine *engine); /* gives the process back; the engine may be used again */

#endif
