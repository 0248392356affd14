/*
 * Links for the tests of the wire protocol: to a real git as a child process, with a wire that is cut after so many
 * bytes, or to a server that says what the test wants it to say.
 */
#ifndef QOSID_TESTS_UNIT_EXCHANGE_WIRE_FIXTURE_H
#define QOSID_TESTS_UNIT_EXCHANGE_WIRE_FIXTURE_H

#include "sync/exchange/peer_wire.h"

struct wire_server {
	const char *repository; /* stock git serves it; NULL: script is said */
	const char *protocol;   /* GIT_PROTOCOL; NULL: as a server that does not know it */
	bool is_stateless;      /* a process for each question, as behind https */
	uint64_t cut;           /* the wire breaks after so many bytes of all its links; 0: never */
	const uint8_t *script;
	size_t script_len;
	uint64_t endless; /* after the script, so many bytes of this frame again and again */
	const char *frame;
	/* what was seen */
	uint64_t up, down;
	unsigned dials, pushes, turns;
};

struct wire_dialer wire_server_dialer(struct wire_server *server);

#endif
