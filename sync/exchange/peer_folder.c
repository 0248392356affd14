/*
 * A peer that is a repository in a folder: objects go straight from store to store (transfer.h).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/exchange/exchange.h"
#include "sync/exchange/peer_internal.h"

struct peer_folder {
	struct peer peer;
	struct repo *repo;
};

static int folder_visit_refs(struct peer *peer,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct peer_folder *folder = (struct peer_folder *)peer;

	return repo_visit_refs(folder->repo, "refs/heads/", visit, context, err);
}

static int folder_fetch(struct peer *peer, const git_oid *tip, const git_oid *have, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err)
{
	struct peer_folder *folder = (struct peer_folder *)peer;
	int rc = transfer_chain(folder->repo, peer->own, tip, progress, watch, stats, whole, err);

	(void)have; /* the walk finds it */
	if (peer_is_damage(rc) && access(repo_path(folder->repo), F_OK) != 0)
		return qosid_error(err, QOSID_ERR_OFFLINE, "%s went away in the middle", peer->name);
	return rc;
}

/* A log in one go: a folder that is cut off keeps the objects that have arrived, and the next push leaves them out. */
static int push_one(struct peer_folder *folder, struct peer_update *update)
{
	const git_oid *old = git_oid_is_zero(&update->old) ? NULL : &update->old;
	struct qosid_errbuf *fault = &update->fault;
	int rc = transfer_chain(folder->peer.own, folder->repo, &update->tip, NULL, NULL, &update->stats, NULL, fault);

	if (rc != 0)
		return peer_is_damage(rc) ? 0 : rc;
	rc = repo_update_ref(folder->repo, update->ref, old, &update->tip, fault);
	if (rc == 0)
		update->answer = PEER_TAKEN;
	else if (rc == QOSID_ERR_CONFLICT)
		update->answer = PEER_MOVED;
	else if (rc == QOSID_ERR_CORRUPT || rc == QOSID_ERR_INVALID) /* what stands there is no ref of a log */
		update->answer = PEER_REFUSED;
	return update->answer != PEER_UNASKED ? 0 : rc;
}

static int folder_push(struct peer *peer, struct peer_update *updates, size_t count, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = push_one((struct peer_folder *)peer, &updates[i]);
		if (rc != 0 && err != NULL)
			*err = updates[i].fault;
	}
	return rc;
}

static void folder_settle(struct peer *peer)
{
	struct peer_folder *folder = (struct peer_folder *)peer;

	(void)repo_repack_loose(folder->repo, EXCHANGE_LOOSE_MAX, NULL); /* only tidiness */
}

static void folder_close(struct peer *peer)
{
	struct peer_folder *folder = (struct peer_folder *)peer;

	repo_free(folder->repo);
	free(peer->name);
	free(folder);
}

static const struct peer_class folder_class = {.visit_refs = folder_visit_refs,
    .fetch = folder_fetch,
    .push = folder_push,
    .settle = folder_settle,
    .close = folder_close};

int peer_open_folder(struct peer **out, const char *path, struct repo *own, struct qosid_errbuf *err)
{
	struct peer_folder *folder = calloc(1, sizeof(*folder));
	int rc;

	*out = NULL;
	if (folder == NULL || (folder->peer.name = strdup(path)) == NULL) {
		free(folder);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a remote");
	}
	folder->peer.class = &folder_class;
	folder->peer.own = own;
	rc = repo_open(&folder->repo, path, false, err);
	if (rc != 0)
		folder_close(&folder->peer);
	else
		*out = &folder->peer;
	return rc;
}
