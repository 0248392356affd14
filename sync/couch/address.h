/*
 * A peer's address, taken apart.
 */
#ifndef QOSID_SYNC_COUCH_ADDRESS_H
#define QOSID_SYNC_COUCH_ADDRESS_H

#include "sync/couch/couch.h"

#define COUCH_ADDRESS_BYTES 4096

struct couch_address {
	char *server;       /* "https://couch.example.org:6984/path/" */
	char database[512]; /* as in the URL: percent-encoded */
	char host[256];
	char name[1024]; /* "host/database", for people */
	char *user;      /* NULL: none given */
	char *password;
};

/* QOSID_ERR_USAGE says what is wrong with it. couch_address_free() wipes. */
int couch_address_parse(struct couch_address *out, const char *text, struct qosid_errbuf *err);
void couch_address_free(struct couch_address *address);

/* Append text with everything but unreserved characters percent-encoded (keep_slash: and but slashes). */
int couch_append_encoded(
    struct qosid_buf *out, const void *text, size_t len, bool keep_slash, struct qosid_errbuf *err);

#endif
