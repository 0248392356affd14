/*
 * Scripts: JavaScript functions of design documents, run in a process of their own.
 *
 * What a design document says is written by people of other offices. It therefore runs in qosid-script, a child that
 * has no files, no network and no keys, only a socket to us, a bounded amount of memory and a bounded time for each
 * answer. A script that loops, hogs memory or dies costs its request an error and its process its life; the next
 * request starts a fresh one. On the socket is CouchDB's query server protocol, one JSON array a line: ["reset"],
 * ["add_lib", lib], ["add_fun", source], ["map_doc", doc], ["reduce", sources, [[[key, id], value], ..]],
 * ["rereduce", sources, values], ["ddoc", "new", id, doc], ["ddoc", id, path, arguments]. Requests are written without
 * white space before the third element. At most 32 design documents are kept; of one that is not, the answer is
 * ["error", "uncached_ddoc", ..].
 *
 * A struct script is used by one thread at a time. Any thread may use it, also one that ends before it.
 */
#ifndef QOSID_SYNC_SCRIPT_SCRIPT_H
#define QOSID_SYNC_SCRIPT_SCRIPT_H

#include <stddef.h>
#include <sys/types.h>

#include "crypto/buf.h"
#include "crypto/error.h"

struct script;

struct script_limits {
	const char *program;     /* path of qosid-script; NULL: found beside this program, or in the libexec folder */
	unsigned answer_seconds; /* for one answer, of the child's own CPU time; 0: SCRIPT_ANSWER_SECONDS */
	unsigned memory_mib;     /* of the child; 0: SCRIPT_MEMORY_MIB */
};

#define SCRIPT_ANSWER_SECONDS 5
#define SCRIPT_WALL_FACTOR 6 /* and so many times as much by the clock, where the machine is busy */
#define SCRIPT_MEMORY_MIB 256
#define SCRIPT_REQUEST_BYTES (48u << 20) /* of one request */
#define SCRIPT_ANSWER_BYTES (32u << 20)  /* of one answer with its logs */

/* Nothing runs before the first call. limits is copied, its program too. */
int script_open(struct script **out, const struct script_limits *limits, struct qosid_errbuf *err);
void script_close(struct script *script); /* ends the child; accepts NULL */

/* Send one request, a JSON array without line feeds, and append the answer's JSON to answer. "log" lines in between are
 * dropped. A script's own error (["error", name, reason], or {"forbidden":..}, {"unauthorized":..}) is an answer as
 * well, not a failure. QOSID_ERR_LIMIT: too slow, too large, out of memory: the child has been ended, and whatever was
 * told to it (functions, design documents) must be told again; script_generation() says so. QOSID_ERR_FAILED: the child
 * died of something else, with the same consequence. QOSID_ERR_NOTFOUND: there is no qosid-script. */
int script_call(
    struct script *script, const void *request, size_t len, struct qosid_buf *answer, struct qosid_errbuf *err);

/* End the child, if there is one: the next call starts a fresh one. */
void script_end(struct script *script);

/* Goes up each time a child is started: what was told to an earlier one is forgotten. 0: none has been. A call may
 * start one, so compare what it is after having told. */
unsigned long script_generation(const struct script *script);

/* The child's process id; 0: none runs. */
pid_t script_pid(const struct script *script);

#endif
