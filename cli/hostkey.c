/*
 * The key of an ssh host that is met for the first time: see hostkey.h.
 */
#include "cli/hostkey.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sync/exchange/link.h"

/* As ssh asks: yes, or the fingerprint itself, typed or pasted from where it is known. */
static int ask(const struct link_host_key *key, struct qosid_errbuf *err)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), rc = 0;
	char answer[128];
	ssize_t len;

	if (fd < 0) {
		rc = qosid_error(err, QOSID_ERR_REFUSED,
		    "the server's key %s (%s) is not known here yet, and nobody is there to confirm it",
		    key->fingerprint, key->type);
		qosid_error_hint(err, "compare it with what whoever runs the server says, then add --fingerprint %s",
		    key->fingerprint);
		return rc;
	}
	(void)dprintf(fd,
	    "The server is met for the first time. Its key (%s) has the fingerprint\n\n    %s\n\nCompare it with what "
	    "whoever runs the server says: they see it with ssh-keygen -lf /etc/ssh/ssh_host_..._key.pub.\n"
	    "Is it the same? (yes, no, or the fingerprint) ",
	    key->type, key->fingerprint);
	len = read(fd, answer, sizeof(answer) - 1);
	(void)close(fd);
	while (len > 0 && (unsigned char)answer[len - 1] <= ' ')
		len--;
	answer[len > 0 ? len : 0] = '\0';
	if (strcmp(answer, "yes") != 0 && strcmp(answer, key->fingerprint) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the server's key %s was not confirmed", key->fingerprint);
	return 0;
}

int hostkey_confirm(
    const struct cli *cli, const struct space_remote *remote, const char *fingerprint, struct qosid_errbuf *err)
{
	struct link_host_key key;
	int rc;

	if ((rc = link_fetch_host_key(&key, &remote->target, &remote->limits, err)) != 0)
		return rc;
	if (fingerprint == NULL)
		rc = ask(&key, err);
	else if (strcmp(fingerprint, key.fingerprint) != 0) {
		rc = qosid_error(
		    err, QOSID_ERR_REFUSED, "the server shows another key (%s): %s", key.type, key.fingerprint);
		qosid_error_hint(err, "if it should be that of --fingerprint, somebody may be in between");
	}
	if (rc == 0)
		rc = link_trust_host_key(&remote->target, &key, err);
	if (rc == 0 && !cli->quiet && !cli->json)
		(void)fprintf(stderr, "The key of the server is known from now on: %s\n", remote->target.known_hosts);
	return rc;
}
