/*
 * Files that commands read and write.
 */
#ifndef QOSID_CLI_FILE_H
#define QOSID_CLI_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "crypto/sink.h"

/* Append the whole of a file ("-": standard input). Larger than limit is QOSID_ERR_LIMIT. */
int file_read(const char *path, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err);

/* How a file is called in messages: its path, or "standard input". */
const char *file_name(const char *path);

/* A file being written, or stdout. An existing regular file is replaced in one step by file_output_commit(), and stays
 * as it was until then; devices and pipes are written directly. Mode 0600. Starts as {0}. */
struct file_output {
	FILE *stream;
	char *path;      /* NULL: stdout */
	char *temporary; /* NULL: written in place */
};

/* path NULL or "-" is stdout. */
int file_output_open(struct file_output *output, const char *path, struct qosid_errbuf *err);
int file_output_commit(struct file_output *output, struct qosid_errbuf *err);
void file_output_close(struct file_output *output); /* without commit: as if nothing had been written */

/* A sink that writes to the stream of output, which must outlive it. */
struct qosid_sink file_output_sink(struct file_output *output);
int file_output_write(struct file_output *output, const void *data, size_t len, struct qosid_errbuf *err);

/* Write a secret into a new file of mode 0600, fsync'd. QOSID_ERR_EXISTS when something is there already. */
int file_write_secret(const char *path, const void *data, size_t len, struct qosid_errbuf *err);

#endif
