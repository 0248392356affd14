/*
 * CouchDB's map/reduce views over a replica, as incremental indexes in SQLite.
 *
 * What the functions of a design document make of documents is kept in a file of its own beside the replica
 * ("views.db"): all of it can be computed again, so it neither bloats nor endangers the replica, is not synced on every
 * commit, and may be deleted whenever nobody has it open. There is one index for each distinct set of functions (struct
 * view_group, by its signature): design documents that say the same share one, and one that is changed back finds its
 * old index. An index follows the changes feed in batches of a transaction each; a killed build goes on where it was.
 *
 * Rows are ordered by a binary sort key (collate.h), so that a range is a walk of an index. Rows are counted, and
 * reduced, in blocks of about a hundred: a reduction of any range takes the stored ones of the blocks inside it and
 * reduces the rows at its two ends; a change leaves the blocks that it touches without one until the next reduction.
 *
 * This layer calls no JavaScript: map and reduce come in as struct view_engine. A struct views is one connection, for
 * one thread; any number of them, and of processes, may have the file open.
 */
#ifndef QOSID_SYNC_REPLICA_VIEW_H
#define QOSID_SYNC_REPLICA_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/replica/json.h"
#include "sync/replica/replica.h"

/* ---- what a design document says (view_group.c) ---- */

enum view_reducer { REDUCER_NONE, REDUCER_SCRIPT, REDUCER_SUM, REDUCER_COUNT, REDUCER_STATS, REDUCER_DISTINCT };

struct view_function {
	struct qosid_buf name;
	struct qosid_buf map;    /* its source, as a JSON string */
	struct qosid_buf reduce; /* likewise; empty: none */
	enum view_reducer reducer;
};

#define VIEW_SIGNATURE_SIZE 33
struct view_group {
	char signature[VIEW_SIGNATURE_SIZE]; /* hex, of all that follows */
	bool include_design;
	bool local_seq;
	struct qosid_buf lib; /* views.lib, JSON; empty: none */
	struct view_function *functions;
	size_t count;
};

/* Read the views of a design document's body. QOSID_ERR_INVALID with CouchDB's word for it in err->where:
 * "unknown_query_language", "invalid_design_doc". */
int view_group_parse(struct view_group **out, struct json_slice body, struct qosid_errbuf *err);
void view_group_free(struct view_group *group); /* accepts NULL */
/* The place of a view in the group, by its name; -1: none. */
int view_group_find(const struct view_group *group, const char *name);

/* ---- the functions ---- */

struct view_engine {
	void *context;
	/* Append a JSON array with, for each function of the group, an array of its [key,value] pairs for this
	 * document. QOSID_ERR_INVALID: the functions could make nothing of it; the document is passed over. */
	int (*map)(void *context, const struct view_group *group, const struct replica_record *record,
	    struct qosid_buf *out, struct qosid_errbuf *err);
	/* Append the reduction of rows, [[[key,id],value],..], or of values, [value,..]. source is a JSON string. */
	int (*reduce)(void *context, struct json_slice source, struct json_slice rows, struct qosid_buf *out,
	    struct qosid_errbuf *err);
	int (*rereduce)(void *context, struct json_slice source, struct json_slice values, struct qosid_buf *out,
	    struct qosid_errbuf *err);
};

/* ---- the file (view_store.c) ---- */

struct views;

/* Open or make the file. instance names the replica: indexes of another one are dropped. A damaged file is replaced. */
int views_open(struct views **out, const char *path, const char *instance, struct qosid_errbuf *err);
void views_close(struct views *views); /* accepts NULL */

/* Hold one snapshot over several reads. */
int views_begin_read(struct views *views, struct qosid_errbuf *err);
void views_end_read(struct views *views); /* no effect without one */

struct view_info {
	int64_t sequence; /* how far the index has followed; 0 also when there is none yet */
	int64_t rows;     /* of all its views */
	int64_t bytes;    /* of their keys and values */
	int64_t file;     /* bytes of the whole file */
};
int views_read_info(
    struct views *views, const struct view_group *group, struct view_info *out, struct qosid_errbuf *err);
/* As above, the sequence only. */
int views_read_sequence(struct views *views, const struct view_group *group, int64_t *out, struct qosid_errbuf *err);

/* Drop all indexes but these. */
int views_clean(
    struct views *views, const char (*signatures)[VIEW_SIGNATURE_SIZE], size_t count, struct qosid_errbuf *err);
/* Cut the group's blocks anew and give free pages back. */
int views_compact(struct views *views, const struct view_group *group, struct qosid_errbuf *err);

/* ---- following the replica (view_build.c) ---- */

/* Take in a batch of changes, a transaction; *done when there were no more. Another builder of the same index may work
 * at the same time: one of the two then has worked in vain. */
int views_update(struct views *views, struct replica *replica, const struct view_group *group,
    const struct view_engine *engine, bool *done, struct qosid_errbuf *err);

/* Store missing reductions of a view, a bounded number in a transaction; *done when none was missing. */
int views_fold(struct views *views, const struct view_group *group, size_t view, const struct view_engine *engine,
    bool *done, struct qosid_errbuf *err);

/* Whether any is missing. */
int views_has_open(
    struct views *views, const struct view_group *group, size_t view, bool *out, struct qosid_errbuf *err);

/* ---- reading (view_query.c) ---- */

struct view_range {
	struct json_slice start; /* checked JSON; len 0: no bound. Descending, the greater one. */
	struct json_slice end;
	const char *start_id; /* among equal keys; NULL: no bound */
	const char *end_id;
	bool exclusive_end;
	bool descending;
	int64_t skip;
	int64_t limit; /* negative: all */
};

/* Whether start and end are in the order of the direction. */
int views_check_range(struct views *views, const struct view_range *range, bool *possible, struct qosid_errbuf *err);

/* All rows of a view; how many lie before the range in its direction; and whether any lies in it. */
struct view_place {
	int64_t total;
	int64_t before;
	bool any;
};
int views_read_place(struct views *views, const struct view_group *group, size_t view, const struct view_range *range,
    struct view_place *out, struct qosid_errbuf *err);

/* The visitors return 0 to go on, anything else to stop; that value is returned. */
struct view_row {
	const char *id;
	struct json_slice key; /* as the map function emitted it */
	struct json_slice value;
};
typedef int (*view_visit_fn)(void *context, const struct view_row *row, struct qosid_errbuf *err);
int views_visit_rows(struct views *views, const struct view_group *group, size_t view, const struct view_range *range,
    view_visit_fn visit, void *context, struct qosid_errbuf *err);

#define VIEW_GROUP_NONE 0
#define VIEW_GROUP_EXACT (-1)
/* Reduce the range, whole (level VIEW_GROUP_NONE), by equal keys, or by the first level elements of array keys. The
 * rows have no id, and key null when whole; skip and limit count them. No rows: no reduction. */
int views_visit_groups(struct views *views, const struct view_group *group, size_t view, const struct view_range *range,
    int64_t level, const struct view_engine *engine, view_visit_fn visit, void *context, struct qosid_errbuf *err);

#endif
