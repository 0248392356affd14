/*
 * See vectors.h.
 */
#include "tests/unit/crypto/vectors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/sink.h"

void vector_read(struct qosid_buf *buf, const char *name)
{
	struct qosid_buf_sink target = {buf, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "tests/vectors/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || qosid_sink_pump_fd(fd, &sink, NULL) != 0 || close(fd) != 0) {
		(void)fprintf(stderr, "cannot read %s: run tests in the source's top folder\n", path);
		abort();
	}
}
