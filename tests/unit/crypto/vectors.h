/*
 * Reading the files of tests/vectors/.
 */
#ifndef QOSID_TESTS_VECTORS_H
#define QOSID_TESTS_VECTORS_H

#include "crypto/buf.h"

/* Append a whole file of tests/vectors/; tests run in the source's top folder. Aborts when it cannot. */
void vector_read(struct qosid_buf *buf, const char *name);

#endif
