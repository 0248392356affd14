/*
 * What the files of the link over https share: link_https.c moves the bytes, link_https_setup.c says how each request
 * is made, link_https_explain.c turns what went wrong into words.
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_HTTPS_H
#define QOSID_SYNC_EXCHANGE_LINK_HTTPS_H

#include <curl/curl.h>

#include "sync/exchange/link_kinds.h"
#include "sync/exchange/link_watch.h"

#define LINK_HTTPS_SOCKETS 8
#define LINK_HTTPS_FAULT_BYTES 1024u /* of the body of an error answer */

struct link_https {
	struct link link; /* first */
	struct link_url url;
	struct link_target target; /* texts are borrowed */
	struct link_watch watch;
	struct link_login login;
	char service[24];
	CURLM *multi;
	CURL *easy;
	struct curl_slist *heads;
	char curl_error[CURL_ERROR_SIZE];

	/* The question. */
	struct qosid_buf out; /* not sent yet */
	size_t out_used;
	bool asked;     /* something was written since the last turn */
	bool streaming; /* it is on its way before it is complete */
	bool complete;
	bool packed; /* with gzip */

	/* The answer. */
	struct qosid_buf in;
	size_t in_used;
	bool greeting;                 /* the request is that for the greeting */
	bool running;                  /* it is under way */
	bool finished;                 /* it has ended with result */
	bool holding_down, holding_up; /* libcurl waits for room, or for more of the question */
	CURLcode result;
	long status;
	struct qosid_buf fault;
	size_t fault_seen;           /* of which fault holds the beginning */
	struct qosid_errbuf failure; /* of a callback */
	bool clock_known;
	int64_t clock_skew;

	/* Bytes of sockets that are closed, and those that are open. */
	uint64_t closed_up, closed_down;
	int sockets[LINK_HTTPS_SOCKETS];
};

/* ---- link_https_setup.c ---- */

/* Make https->easy ready for a GET of the greeting (post false) or a POST of https->out. */
int link_https_prepare(struct link_https *https, bool post, struct qosid_errbuf *err);

/* Compress what is in https->out when that helps and the server must understand it. */
int link_https_pack(struct link_https *https, struct qosid_errbuf *err);

/* libcurl's callbacks for the bytes, in link_https.c. */
size_t link_https_take_head(char *data, size_t size, size_t count, void *context);
size_t link_https_take_answer(char *data, size_t size, size_t count, void *context);
size_t link_https_give_question(char *data, size_t size, size_t count, void *context);

/* Count what the sockets have carried. */
void link_https_count(struct link_https *https);

/* ---- link_https_explain.c ---- */

/* What a request that has finished came to: 0, or an error. *stage is how far it came. */
int link_https_judge(struct link_https *https, enum link_stage *stage, struct qosid_errbuf *err);

#endif
