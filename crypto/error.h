/*
 * The one error idiom of Qosid.
 *
 * A function that can fail returns 0 or a negative qosid_error code and, on failure, fills the caller's qosid_errbuf:
 * what went wrong, where, and what to do next. The code is for programs, the text for people. A function that passes on
 * another's failure returns its code as it came, and may put its own place in front with qosid_error_within().
 *
 * Codes -1 to -6 are also the CLI's exit codes, negated (DESIGN section 5); the finer ones map onto those by
 * qosid_error_exit_code(). Codes are stable: never renumber.
 */
#ifndef QOSID_CRYPTO_ERROR_H
#define QOSID_CRYPTO_ERROR_H

enum qosid_error {
	QOSID_OK = 0,
	QOSID_ERR_FAILED = -1,   /* anything that has no better code */
	QOSID_ERR_USAGE = -2,    /* the caller asked for something that makes no sense */
	QOSID_ERR_NOTFOUND = -3, /* no such document, revision, office, file */
	QOSID_ERR_CONFLICT = -4, /* an edit of something that is not a current leaf */
	QOSID_ERR_REFUSED = -5,  /* signature, key, right or chain does not hold */
	QOSID_ERR_OFFLINE = -6,  /* the other end cannot be reached; trying later may help */
	QOSID_ERR_INVALID = -7,  /* malformed input: JSON, age file, commit, CSV */
	QOSID_ERR_LIMIT = -8,    /* larger or deeper than sync/limits.h allows */
	QOSID_ERR_NOMEM = -9,
	QOSID_ERR_IO = -10,        /* the operating system said no */
	QOSID_ERR_FULL = -11,      /* no space left on the device, or over quota */
	QOSID_ERR_BUSY = -12,      /* another process holds the lock */
	QOSID_ERR_CORRUPT = -13,   /* stored data contradicts itself */
	QOSID_ERR_EXISTS = -14,    /* would overwrite something that must be kept */
	QOSID_ERR_WAITING = -15,   /* cannot be judged yet: something it names has not arrived */
	QOSID_ERR_CANCELLED = -16, /* the caller asked to stop */
};

/* Owned by the caller, who zeroes it with = {0}. Each text is NUL-terminated, cut (never overrun) when too long. */
struct qosid_errbuf {
	int code;        /* the qosid_error last put here */
	char what[512];  /* what went wrong and why, one sentence without a full stop */
	char where[256]; /* outermost place first: "office/khujand change set 12: line 3"; empty when not known */
	char hint[256];  /* what to do about it; empty when there is nothing sensible to say */
};

/* Fill err (which may be NULL) and return code, so that a caller can write `return qosid_error(err, CODE, "...")`. */
int qosid_error(struct qosid_errbuf *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As qosid_error(), for a failed system call: adds strerror(errnum) and picks FULL (ENOSPC, EDQUOT, EFBIG), NOMEM,
 * NOTFOUND (ENOENT) or IO from errnum. */
int qosid_error_errno(struct qosid_errbuf *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put a place in front of err->where. Returns err->code (or QOSID_ERR_FAILED when err is NULL). */
int qosid_error_within(struct qosid_errbuf *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Say what to do about it. Keeps a hint that is there already: the one closest to the cause knows best. */
void qosid_error_hint(struct qosid_errbuf *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forget what err holds. */
void qosid_error_clear(struct qosid_errbuf *err);

/* The CLI's exit code (0 to 6) for a qosid_error. */
int qosid_error_exit_code(int code);

/* A stable lower-case name for code: "conflict", "refused", ... Never NULL. */
const char *qosid_error_name(int code);

#endif
