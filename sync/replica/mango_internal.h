/*
 * Shared by the Mango files: compiled selectors, paths, index definitions, queries.
 */
#ifndef QOSID_SYNC_REPLICA_MANGO_INTERNAL_H
#define QOSID_SYNC_REPLICA_MANGO_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/replica/collate.h"
#include "sync/replica/mango.h"

/* ---- errors (mango_error.c) ---- */

/* Fill err with CouchDB's error name and reason; returns QOSID_ERR_INVALID. */
int mango_refuse(struct qosid_errbuf *err, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a reason that ends with a value, shown as CouchDB does, as an Erlang term. */
int mango_refuse_value(struct qosid_errbuf *err, const char *name, struct json_slice value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- paths (mango_path.c) ---- */

/* A field name taken apart at its dots; "\." is a dot inside a segment. */
struct mango_path {
	char *text; /* the name as written (unescaped JSON) */
	char *parts;
	const char **segments;
	size_t count; /* 0: the value itself */
};

/* field is a JSON string. */
int mango_path_parse(struct mango_path *path, struct json_slice field, struct qosid_errbuf *err);
int mango_path_parse_text(struct mango_path *path, const char *field, size_t len, struct qosid_errbuf *err);
void mango_path_free(struct mango_path *path);

/* Follow segments from `first` on, through objects by name and arrays by position. */
bool mango_path_follow(const struct mango_path *path, size_t first, struct json_slice value, struct json_slice *found);

/* The same from a document. _id and _rev are written into scratch as JSON strings. */
int mango_path_read(const struct mango_path *path, const struct mango_subject *subject, struct qosid_buf *scratch,
    bool *found, struct json_slice *value, struct qosid_errbuf *err);

/* ---- regular expressions (mango_regex.c) ---- */

struct mango_regex;
int mango_regex_compile(struct mango_regex **out, struct json_slice pattern, bool *valid, struct qosid_errbuf *err);
bool mango_regex_match(struct mango_regex *regex, const char *text, size_t len);
void mango_regex_free(struct mango_regex *regex);

/* ---- selectors (mango_selector.c) ---- */

enum mango_op {
	MANGO_EMPTY, /* matches everything */
	MANGO_AND,
	MANGO_OR,
	MANGO_FIELD, /* path, and one condition as its child */
	/* conditions */
	MANGO_NOT,
	MANGO_LT,
	MANGO_LTE,
	MANGO_EQ,
	MANGO_NE,
	MANGO_GTE,
	MANGO_GT,
	MANGO_IN,
	MANGO_NIN,
	MANGO_ALL,
	MANGO_EXISTS,
	MANGO_TYPE,
	MANGO_SIZE,
	MANGO_MOD,
	MANGO_REGEX,
	MANGO_BEGINS_WITH,
	MANGO_ELEM_MATCH, /* these three have a selector over each element or key as their child */
	MANGO_ALL_MATCH,
	MANGO_KEY_MAP_MATCH,
	MANGO_OP_COUNT
};

struct mango_node {
	enum mango_op op;
	bool exists;                /* MANGO_EXISTS */
	bool raw;                   /* MANGO_FIELD: _id, compared by code points */
	struct mango_path path;     /* MANGO_FIELD */
	struct json_slice argument; /* in the selector's text */
	int64_t divisor;            /* MANGO_MOD */
	int64_t number;             /* MANGO_MOD's remainder, MANGO_SIZE */
	struct mango_regex *regex;
	struct mango_node *child;
	struct mango_node *next; /* of the same parent */
};

struct mango_selector {
	struct qosid_buf text;
	struct mango_node *root;
	struct collator *collator;
	struct qosid_buf field;  /* scratch: _id or _rev as JSON */
	struct qosid_buf string; /* scratch: a decoded string */
};

const char *mango_op_name(enum mango_op op);

/* Whether a document can only match when it has the field: then an index over it holds every match. */
bool mango_requires_field(const struct mango_node *node, const char *field);

/* Whether a condition looks at this member of the document. */
bool mango_looks_at(const struct mango_node *node, const char *member);

/* Whether every match has one and the same value there. */
bool mango_is_constant(const struct mango_node *node, const char *field);

/* ---- index definitions (mango_index.c) ---- */

struct mango_index {
	int64_t number;   /* in the table mango_index; 0: not there yet */
	int64_t sequence; /* entries cover the changes up to here */
	struct qosid_buf ddoc;
	struct qosid_buf name;
	struct qosid_buf fields;  /* {"a":"asc",...} */
	struct qosid_buf partial; /* partial_filter_selector; "{}": none */
	struct mango_path columns[MANGO_INDEX_FIELDS];
	size_t column_count;
	struct mango_selector *filter; /* NULL: all documents */
};

struct mango_index_list {
	struct mango_index *items;
	size_t count;
	size_t capacity;
};

/* Append a zeroed index. The last one can be taken back by mango_index_list_cut(). */
int mango_index_list_grow(struct mango_index_list *list, struct mango_index **out, struct qosid_errbuf *err);
void mango_index_list_cut(struct mango_index_list *list, size_t count);
void mango_index_list_free(struct mango_index_list *list);

/* Fill columns and filter from fields and partial. */
int mango_index_prepare(struct mango_index *index, struct qosid_errbuf *err);

bool mango_index_is_partial(const struct mango_index *index);

/* Append an index as GET _index and _explain show it; NULL is _all_docs. */
int mango_index_describe(const struct mango_index *index, struct qosid_buf *out, struct qosid_errbuf *err);

/* All valid definitions in the live design documents, by design document and name. */
int mango_index_collect(struct replica *replica, struct mango_index_list *list, struct qosid_errbuf *err);

/* Read a sort or an index's fields: names, or objects of a name and "asc" or "desc". paths has room for
 * MANGO_INDEX_FIELDS. */
int mango_sort_parse(
    struct json_slice value, struct mango_path *paths, size_t *count, bool *descending, struct qosid_errbuf *err);

/* Append {"a":"asc",...}. */
int mango_sort_render(
    const struct mango_path *paths, size_t count, bool descending, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- index entries (mango_store.c) ---- */

/* Whether the table of definitions agrees with the design documents. */
int mango_store_is_current(struct replica *replica, bool *current, struct qosid_errbuf *err);

/* Make it so. Needs a transaction. */
int mango_store_refresh(struct replica *replica, struct qosid_errbuf *err);

/* Read the definitions, prepared. */
int mango_store_load(struct replica *replica, struct mango_index_list *list, struct qosid_errbuf *err);

/* How far an index has come; -1 when it is gone. */
int mango_store_sequence(struct replica *replica, int64_t number, int64_t *sequence, struct qosid_errbuf *err);

/* Take in the next MANGO_UPDATE_BATCH changes. Needs a transaction. */
int mango_store_update(struct replica *replica, struct mango_index *index, struct qosid_errbuf *err);

/* ---- queries (mango_query.c, mango_plan.c, mango_run.c) ---- */

struct mango_range {
	bool has_low;
	bool has_high;
	struct json_slice low; /* in the selector's text, or JSON made by the planner */
	struct json_slice high;
	struct qosid_buf made; /* a bound that is in no text: that of $beginsWith */
};

struct mango_query {
	struct qosid_buf text;
	struct mango_selector *selector;
	struct mango_path *fields; /* what to show of a document */
	size_t field_count;        /* 0: all */
	struct mango_path sort[MANGO_INDEX_FIELDS];
	size_t sort_count;
	bool descending;
	struct qosid_buf use_ddoc; /* "_design/..." as given, len 0: no wish */
	struct qosid_buf use_name;
	struct json_slice use_index; /* as given */
	int64_t limit;
	int64_t skip;
	struct json_slice bookmark; /* as given, a JSON string; len 0: none */
	int64_t quorum;
	bool conflicts;
	bool update;
	bool stable;
	bool execution_stats;
	bool allow_fallback;

	bool planned;
	int64_t target; /* the sequence that the index must have reached */
	struct mango_index_list indexes;
	size_t chosen;                                 /* in indexes; indexes.count: all documents */
	bool wish_refused;                             /* use_index could not be followed */
	struct mango_range ranges[MANGO_INDEX_FIELDS]; /* of the chosen index's columns, or of _id */
	size_t range_count;
	struct qosid_buf low;  /* bounds of the walk: keys, or document ids */
	struct qosid_buf high; /* for ids: empty means no bound */
};

/* The chosen index; NULL: all documents. */
const struct mango_index *mango_query_index(const struct mango_query *query);

/* Choose among query->indexes and set the bounds. */
int mango_plan_choose(struct mango_query *query, struct qosid_errbuf *err);
void mango_plan_reset(struct mango_query *query);

/* Whether an index could serve the query at all. */
bool mango_plan_is_usable(const struct mango_query *query, const struct mango_index *index);

/* ---- showing documents (mango_project.c) ---- */

/* Append the chosen fields of a document as JSON, in the order asked for. */
int mango_project(const struct mango_path *fields, size_t count, const struct mango_subject *subject,
    struct qosid_buf *scratch, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- bookmarks (mango_bookmark.c) ---- */

/* A place in a walk: after this key and document. Starts as {0}. */
struct mango_place {
	bool set;
	struct qosid_buf key; /* of an index; empty for all documents */
	struct qosid_buf id;
};
void mango_place_free(struct mango_place *place);

/* Append a place as a JSON string that only this index understands. */
int mango_bookmark_render(
    const struct mango_place *place, const struct mango_index *index, struct qosid_buf *out, struct qosid_errbuf *err);
/* "nil", null text and "" are no place. */
int mango_bookmark_parse(
    struct json_slice bookmark, const struct mango_index *index, struct mango_place *place, struct qosid_errbuf *err);

#endif
