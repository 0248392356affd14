/*
 * zstd dictionaries of a space's own records, so that a change set of one record need not spell out what all of them
 * have in common.
 *
 * A dictionary is made of pieces of records, so it is as secret as they are: its bytes are wiped here, and whoever
 * stores or sends it encrypts it.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

#include "sync/changeset/codec.h"
#include "sync/limits.h"

#define TRAINED_BYTES ((size_t)16 << 10) /* larger ones pay later: docs/performance.md */
#define SAMPLES_MAX 4000                 /* newest documents */
#define SAMPLES_BYTES ((size_t)8 << 20)
#define SAMPLES_MIN 200               /* fewer teach a dictionary by heart what is in them */
#define SAMPLE_MAX ((size_t)64 << 10) /* a longer line fills a window of its own */
#define TRIED 200                     /* samples kept back from training, to see what the dictionary is worth */

struct changeset_dictionary {
	uint8_t digest[DIGEST_BYTES];
	size_t len;
	uint8_t data[];
};

int changeset_dictionary_load(struct changeset_dictionary **out, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct changeset_dictionary *dictionary;
	ZSTD_DDict *read;

	if (len > LIMIT_DICTIONARY_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "a dictionary is larger than %u bytes", LIMIT_DICTIONARY_BYTES);
	if (ZSTD_getDictID_fromDict(data, len) == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "what should be a dictionary of zstd is none");
	read = ZSTD_createDDict(data, len);
	if (read == NULL)
		return qosid_error(err, QOSID_ERR_INVALID, "a dictionary is damaged");
	(void)ZSTD_freeDDict(read); /* cannot fail: it is not static memory */
	dictionary = malloc(sizeof(*dictionary) + len);
	if (dictionary == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a dictionary");
	memcpy(dictionary->data, data, len);
	dictionary->len = len;
	digest_compute(dictionary->digest, data, len);
	*out = dictionary;
	return 0;
}

void changeset_dictionary_free(struct changeset_dictionary *dictionary)
{
	if (dictionary == NULL)
		return;
	sodium_memzero(dictionary->data, dictionary->len);
	free(dictionary);
}

const uint8_t *changeset_dictionary_digest(const struct changeset_dictionary *dictionary)
{
	return dictionary->digest;
}

const void *changeset_dictionary_data(const struct changeset_dictionary *dictionary, size_t *len)
{
	*len = dictionary->len;
	return dictionary->data;
}

/* ---- training ---- */

struct samples {
	struct replica *replica;
	struct qosid_buf text; /* the lines one after the other */
	size_t lengths[SAMPLES_MAX];
	size_t count;
};

static int add_sample(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct samples *samples = context;
	size_t start = samples->text.len;
	int rc;

	if (samples->count == SAMPLES_MAX || start >= SAMPLES_BYTES)
		return 1;
	if (record->body.len > SAMPLE_MAX)
		return 0;
	rc = codec_format_line_head(
	    &samples->text, record->time, record->user.len == 0 ? "" : (const char *)record->user.data, err);
	if (rc == 0)
		rc = replica_render_record(samples->replica, record, RENDER_REVISIONS, &samples->text, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&samples->text, CODEC_AFTER_DOC "\n", err);
	if (rc != 0)
		return rc;
	if (samples->text.len - start > SAMPLE_MAX) /* with its ancestry */
		samples->text.len = start;
	else
		samples->lengths[samples->count++] = samples->text.len - start;
	return 0;
}

/* Take every n-th sample to the end, to be tried, so that training and trial see the same mixture. Returns where the
 * tried ones begin. */
static int set_aside(struct samples *samples, size_t *tried, size_t *tried_at, struct qosid_errbuf *err)
{
	size_t every = samples->count / (samples->count / 10 < TRIED ? samples->count / 10 : TRIED);
	struct qosid_buf kept = {0}, aside = {0};
	size_t lengths[TRIED + 1], at = 0, kept_count = 0;
	int rc = 0;

	*tried = 0;
	for (size_t i = 0; rc == 0 && i < samples->count; i++) {
		size_t len = samples->lengths[i];
		bool out = i % every == every - 1 && *tried < TRIED;

		rc = qosid_buf_append(out ? &aside : &kept, samples->text.data + at, len, err);
		at += len;
		if (out)
			lengths[(*tried)++] = len;
		else
			samples->lengths[kept_count++] = len;
	}
	*tried_at = kept.len;
	if (rc == 0)
		rc = qosid_buf_append(&kept, aside.data, aside.len, err);
	if (rc == 0) {
		memcpy(samples->lengths + kept_count, lengths, *tried * sizeof(lengths[0]));
		qosid_buf_wipe(&samples->text);
		samples->text = kept;
		kept = (struct qosid_buf){0};
	}
	qosid_buf_wipe(&kept);
	qosid_buf_wipe(&aside);
	return rc;
}

/* What the tried samples take, each a change set of its own. */
static int weigh(const struct samples *samples, size_t tried, size_t at, const struct changeset_dictionary *dictionary,
    size_t *bytes, struct qosid_errbuf *err)
{
	size_t size = ZSTD_compressBound(SAMPLE_MAX), result;
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	uint8_t *out = malloc(size);
	int rc = 0;

	*bytes = 0;
	if (zstd == NULL || out == NULL || codec_set_compression(zstd, 0, dictionary) != 0)
		rc = qosid_error(err, QOSID_ERR_NOMEM, "no memory to try a dictionary");
	for (size_t i = samples->count - tried; rc == 0 && i < samples->count; i++) {
		result = ZSTD_compress2(zstd, out, size, samples->text.data + at, samples->lengths[i]);
		if (ZSTD_isError(result))
			rc = qosid_error(
			    err, QOSID_ERR_FAILED, "trying a dictionary failed: %s", ZSTD_getErrorName(result));
		*bytes += result;
		at += samples->lengths[i];
	}
	(void)ZSTD_freeCCtx(zstd); /* cannot fail: it is not static memory */
	free(out);
	return rc;
}

static int train(struct samples *samples, const struct changeset_dictionary *current, struct changeset_dictionary **out,
    struct changeset_gain *gain, struct qosid_errbuf *err)
{
	size_t tried, at;
	uint8_t *data = malloc(TRAINED_BYTES);
	size_t len;
	int rc = set_aside(samples, &tried, &at, err);

	if (rc == 0 && data == NULL)
		rc = qosid_error(err, QOSID_ERR_NOMEM, "no memory for a dictionary");
	if (rc != 0)
		goto out;
	len = ZDICT_trainFromBuffer(
	    data, TRAINED_BYTES, samples->text.data, samples->lengths, (unsigned)(samples->count - tried));
	if (ZDICT_isError(len)) /* what the samples have in common is not worth a dictionary */
		goto out;
	rc = changeset_dictionary_load(out, data, len, err);
	sodium_memzero(data, len);
	if (rc != 0)
		goto out;
	gain->samples = tried;
	if ((rc = weigh(samples, tried, at, current, &gain->without, err)) != 0 ||
	    (rc = weigh(samples, tried, at, *out, &gain->with, err)) != 0) {
		changeset_dictionary_free(*out);
		*out = NULL;
	}
out:
	free(data);
	return rc;
}

int changeset_dictionary_train(struct replica *replica, const struct changeset_dictionary *current,
    struct changeset_dictionary **out, struct changeset_gain *gain, struct qosid_errbuf *err)
{
	struct samples *samples = calloc(1, sizeof(*samples));
	struct replica_info info;
	int rc;

	*out = NULL;
	*gain = (struct changeset_gain){0};
	if (samples == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a dictionary's samples");
	samples->replica = replica;
	if ((rc = replica_read_info(replica, &info, err)) == 0)
		rc = replica_visit_changes(replica, info.sequence > SAMPLES_MAX ? info.sequence - SAMPLES_MAX : 0, 0,
		    add_sample, samples, err);
	if (rc >= 0)
		rc = samples->count >= SAMPLES_MIN ? train(samples, current, out, gain, err) : 0;
	qosid_buf_wipe(&samples->text);
	free(samples);
	return rc;
}
