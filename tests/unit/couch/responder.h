/*
 * A peer that answers by a script: an HTTP server on loopback in a thread of the test. Every request gets the answer of
 * the first rule that fits it and is not used up.
 */
#ifndef QOSID_TESTS_UNIT_COUCH_RESPONDER_H
#define QOSID_TESTS_UNIT_COUCH_RESPONDER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "crypto/buf.h"

enum responder_kind {
	RESPOND,      /* status, headers, body */
	RESPOND_HANG, /* never */
	RESPOND_DROP, /* half of the body announced, then the connection closes */
	RESPOND_HUGE, /* a body without end */
};

struct rule {
	const char *method; /* NULL: any */
	const char *path;   /* a part of it; NULL: any; beginning with '=': all of it */
	int status;         /* 0: 200 */
	const char *body;   /* NULL: {"ok":true} */
	const char *headers;
	int times; /* 0: always */
	enum responder_kind kind;
	/* results */
	atomic_int hits;
	struct qosid_buf got; /* body of the last request */
};

struct responder;

/* rules end with one whose method is "". */
struct responder *responder_start(struct rule *rules);
void responder_stop(struct responder *responder);
const char *responder_url(const struct responder *responder); /* with the database "db" */
void rules_free(struct rule *rules);

#endif
