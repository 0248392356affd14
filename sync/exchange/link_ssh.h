/*
 * How the system's ssh is called, for the link itself, for asking a host for its key, and for making a repository.
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_SSH_H
#define QOSID_SYNC_EXCHANGE_LINK_SSH_H

#include "sync/exchange/link_child.h"
#include "sync/exchange/link_kinds.h"

#define LINK_SSH_WORDS 64

/* A command line: words point into texts, which is freed with link_ssh_free_command(). */
struct link_ssh_command {
	const char *words[LINK_SSH_WORDS];
	size_t count;
	struct qosid_buf texts[LINK_SSH_WORDS]; /* of the words that had to be built */
	size_t built;
};
void link_ssh_free_command(struct link_ssh_command *command);

/* Build the call that runs `program 'path'` at the host. scan_file: trust whatever key the host shows, note it in this
 * file alone, and go no further; NULL: only known keys are right. */
int link_ssh_build(struct link_ssh_command *out, const struct link_url *url, const struct link_target *target,
    const char *program, const char *scan_file, const struct link_limits *limits, struct qosid_errbuf *err);

/* Say in plain words why an ssh that has ended did not do its work. */
int link_ssh_explain(const struct link_child *child, const struct link_url *url, const struct link_target *target,
    struct link_probe *probe, struct qosid_errbuf *err);

#endif
