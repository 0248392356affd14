/*
 * The processes that run design functions: a few for the whole server, lent to one request at a time.
 *
 * A process belongs to one database until another one needs it, and is then ended, so that what one database's
 * functions do to their process cannot reach another's documents. Safe for use by all threads.
 */
#ifndef QOSID_DAEMON_API_SCRIPTS_H
#define QOSID_DAEMON_API_SCRIPTS_H

#include <stdbool.h>

#include "sync/script/script.h"

#define SCRIPTS_MAX 4           /* processes */
#define SCRIPTS_WAIT_SECONDS 30 /* for one to come free */

struct scripts;      /* of a struct api: api->scripts */
struct scripts_loan; /* a process, borrowed */

int scripts_create(struct scripts **out, struct qosid_errbuf *err);
/* Nothing is lent any more. Accepts NULL. */
void scripts_free(struct scripts *scripts);

/* Borrow a process for a database, best one that has been told the key. Keep it for a bounded number of calls only (a
 * batch of documents), since others wait. QOSID_ERR_BUSY: none has come free. */
int scripts_borrow(struct scripts *scripts, const char *database, const char *key, struct scripts_loan **out,
    struct qosid_errbuf *err);
void scripts_return(struct scripts *scripts, struct scripts_loan *loan); /* accepts NULL */

/* What to make calls with. */
struct script *scripts_script(struct scripts_loan *loan);

/* Whether the process, as it runs now, has been told what the key stands for: functions of a view (its signature), or a
 * design document (its id and revision). Only one key that begins with "view" is known at a time, as "reset" forgets
 * the earlier one. */
bool scripts_is_told(const struct scripts_loan *loan, const char *key);
/* To be called after it has been told. */
int scripts_note_told(struct scripts_loan *loan, const char *key, struct qosid_errbuf *err);

#endif
