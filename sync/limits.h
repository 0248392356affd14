/*
 * Every limit of Qosid in one place (docs/format.md states the same numbers). A peer that goes over one is refused
 * before its bytes are trusted; a local user gets QOSID_ERR_LIMIT with the number.
 */
#ifndef QOSID_SYNC_LIMITS_H
#define QOSID_SYNC_LIMITS_H

#define LIMIT_DOCUMENT_BYTES (8u << 20) /* a document body as JSON text */
#define LIMIT_DOCUMENT_ID_BYTES 1024u
#define LIMIT_ATTACHMENT_BYTES (1ull << 30)
#define LIMIT_ATTACHMENT_INLINE_BYTES (4u << 20) /* larger ones travel in refs/heads/files/<office> */
#define LIMIT_FILE_PART_BYTES (16u << 20)        /* plaintext of one commit of a files log */
#define LIMIT_JSON_DEPTH 200u
#define LIMIT_REVISION_HASH_BYTES 128u          /* the part after "N-" of a peer's revision id */
#define LIMIT_REVISIONS 1000u                   /* revs_limit: longer branches are stemmed */
#define LIMIT_CHANGESET_BYTES (64u << 20)       /* inflated; decompression stops there */
#define LIMIT_CHANGESET_TARGET_BYTES (4u << 20) /* a publisher closes a change set when it has grown to this */
#define LIMIT_CHANGESET_TARGET_LINES 8192u
#define LIMIT_DICTIONARY_BYTES (64u << 10)
#define LIMIT_DICTIONARY_SEALED_BYTES (LIMIT_DICTIONARY_BYTES + 1024u) /* dictionary.age */
#define LIMIT_LINE_BYTES (16u << 20)
#define LIMIT_TREE_ENTRIES 16u
#define LIMIT_MESSAGE_BYTES (64u << 10)
#define LIMIT_COMMIT_BYTES (96u << 10) /* message, headers and signature */
#define LIMIT_MEMBERS 1000u
#define LIMIT_STEWARDS 16u     /* at a time */
#define LIMIT_ROSTER_HEADS 32u /* operations that name a roster state: one of each steward's log at most */
#define LIMIT_ROSTER_OPERATIONS 4096u
#define LIMIT_CLOCK_SKEW_SECONDS 600
#define LIMIT_SLUG_BYTES 63u /* [a-z0-9][a-z0-9-]{0,62} */

#endif
