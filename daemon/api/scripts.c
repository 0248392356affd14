/* The processes that run design functions; see scripts.h. */
#include "daemon/api/scripts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_MAX 24 /* fewer than the design documents that a process keeps */

struct scripts_loan {
	struct script *script;
	char *database; /* whose it is; NULL: nobody's yet */
	bool lent;
	unsigned long used;
	unsigned long generation; /* of what follows */
	char *keys[KEYS_MAX];
	size_t next_key;
};

struct scripts {
	pthread_mutex_t mutex;
	pthread_cond_t returned;
	unsigned long clock;
	struct scripts_loan processes[SCRIPTS_MAX];
};

int scripts_create(struct scripts **out, struct qosid_errbuf *err)
{
	struct scripts *scripts = calloc(1, sizeof(*scripts));
	struct script_limits limits = {0};
	pthread_condattr_t attributes;
	int rc = 0;

	if (!scripts)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	(void)pthread_mutex_init(&scripts->mutex, NULL); /* these cannot fail on Linux */
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&scripts->returned, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	for (size_t i = 0; rc == 0 && i < SCRIPTS_MAX; i++)
		rc = script_open(&scripts->processes[i].script, &limits, err);
	if (rc != 0) {
		scripts_free(scripts);
		return rc;
	}
	*out = scripts;
	return 0;
}

static void forget_keys(struct scripts_loan *loan)
{
	for (size_t i = 0; i < KEYS_MAX; i++) {
		free(loan->keys[i]);
		loan->keys[i] = NULL;
	}
}

void scripts_free(struct scripts *scripts)
{
	if (!scripts)
		return;
	for (size_t i = 0; i < SCRIPTS_MAX; i++) {
		script_close(scripts->processes[i].script);
		forget_keys(&scripts->processes[i]);
		free(scripts->processes[i].database);
	}
	(void)pthread_cond_destroy(&scripts->returned);
	(void)pthread_mutex_destroy(&scripts->mutex);
	free(scripts);
}

/* ---- choosing ---- */

/* The more, the better a process that is not lent serves. */
static int fitness(const struct scripts_loan *loan, const char *database, const char *key)
{
	if (loan->database && strcmp(loan->database, database) == 0)
		return scripts_is_told(loan, key) ? 3 : 1;
	return loan->database ? 0 : 2;
}

/* NULL: all are lent. The mutex is held. */
static struct scripts_loan *choose(struct scripts *scripts, const char *database, const char *key)
{
	struct scripts_loan *best = NULL;

	for (size_t i = 0; i < SCRIPTS_MAX; i++) {
		struct scripts_loan *loan = &scripts->processes[i];

		if (loan->lent)
			continue;
		if (!best || fitness(loan, database, key) > fitness(best, database, key) ||
		    (fitness(loan, database, key) == fitness(best, database, key) && loan->used < best->used))
			best = loan;
	}
	return best;
}

int scripts_borrow(
    struct scripts *scripts, const char *database, const char *key, struct scripts_loan **out, struct qosid_errbuf *err)
{
	struct scripts_loan *loan;
	struct timespec until = {0};
	int rc = 0, waited = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* this clock is always there */
	until.tv_sec += SCRIPTS_WAIT_SECONDS;
	(void)pthread_mutex_lock(&scripts->mutex); /* cannot fail for this kind */
	while (!(loan = choose(scripts, database, key)) && waited != ETIMEDOUT)
		waited = pthread_cond_timedwait(&scripts->returned, &scripts->mutex, &until);
	if (loan) {
		loan->lent = true;
		loan->used = ++scripts->clock;
	}
	(void)pthread_mutex_unlock(&scripts->mutex);
	if (!loan)
		return qosid_error(err, QOSID_ERR_BUSY, "all processes that run functions are busy");
	if (!loan->database || strcmp(loan->database, database) != 0) {
		script_end(loan->script);
		forget_keys(loan);
		free(loan->database);
		loan->database = strdup(database);
		if (!loan->database)
			rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	if (rc != 0) {
		scripts_return(scripts, loan);
		return rc;
	}
	*out = loan;
	return 0;
}

void scripts_return(struct scripts *scripts, struct scripts_loan *loan)
{
	if (!loan)
		return;
	(void)pthread_mutex_lock(&scripts->mutex);
	loan->lent = false;
	(void)pthread_cond_signal(&scripts->returned);
	(void)pthread_mutex_unlock(&scripts->mutex);
}

/* ---- what it knows ---- */

struct script *scripts_script(struct scripts_loan *loan)
{
	return loan->script;
}

bool scripts_is_told(const struct scripts_loan *loan, const char *key)
{
	if (loan->generation != script_generation(loan->script) || script_pid(loan->script) == 0)
		return false;
	for (size_t i = 0; i < KEYS_MAX; i++) {
		if (loan->keys[i] && strcmp(loan->keys[i], key) == 0)
			return true;
	}
	return false;
}

static bool is_view(const char *key)
{
	return strncmp(key, "view", 4) == 0;
}

int scripts_note_told(struct scripts_loan *loan, const char *key, struct qosid_errbuf *err)
{
	char *copy = strdup(key);

	if (!copy)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (loan->generation != script_generation(loan->script))
		forget_keys(loan);
	loan->generation = script_generation(loan->script);
	for (size_t i = 0; is_view(key) && i < KEYS_MAX; i++) {
		if (loan->keys[i] && is_view(loan->keys[i])) {
			free(loan->keys[i]);
			loan->keys[i] = NULL;
		}
	}
	free(loan->keys[loan->next_key]);
	loan->keys[loan->next_key] = copy;
	loan->next_key = (loan->next_key + 1) % KEYS_MAX;
	return 0;
}
