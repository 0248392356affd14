/*
 * What the tests of the exchange layer share: a scratch folder, stock git, small logs of signed commits.
 */
#ifndef QOSID_TESTS_UNIT_EXCHANGE_GIT_FIXTURE_H
#define QOSID_TESTS_UNIT_EXCHANGE_GIT_FIXTURE_H

#include <git2.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/keys.h"
#include "sync/exchange/commit.h"
#include "sync/exchange/repo.h"

#define FIXTURE_SPACE "00112233445566778899aabbccddeeff"

/* A new empty folder, with git kept away from the user's settings; the caller frees and removes it. */
char *fixture_scratch(void);
void fixture_remove(char *scratch);

/* scratch/name; freed by the caller. */
char *fixture_path(const char *scratch, const char *name);

/* Run a shell command, its output kept in $HOME/output; returns its exit status. */
int fixture_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What a command prints, without the last newline; freed by the caller. */
char *fixture_output(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A small generator of bytes, the same for the same seed. */
void fixture_random(uint64_t *seed, void *out, size_t len);

/* Fill in a valid commit of this sequence; commit_free() it. */
void fixture_commit(struct commit *commit, int64_t sequence);

/* Append count commits of blob_bytes each to the log that ends in *tip (sequence *sequence; 0: none yet). */
void fixture_grow(struct repo *repo, const struct identity *identity, size_t count, size_t blob_bytes, git_oid *tip,
    int64_t *sequence);

/* Flip one bit of a file at this place (from the end when negative). */
void fixture_flip(const char *path, long at);

/* The path of a loose object; freed by the caller. */
char *fixture_loose(const struct repo *repo, const git_oid *id);

#endif
