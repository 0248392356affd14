/*
 * Shared by the change set tests: see codec_tools.h.
 */
#include "codec_tools.h"

#include <string.h>
#include <zstd.h>

#include "crypto/age.h"

static void push(ZSTD_CCtx *zstd, struct qosid_buf *out, const char *text, size_t len, ZSTD_EndDirective directive)
{
	ZSTD_inBuffer in = {text, len, 0};
	size_t left;

	do {
		assert_done(qosid_buf_reserve(out, 65536, E));
		ZSTD_outBuffer target = {out->data + out->len, 65536, 0};
		left = ZSTD_compressStream2(zstd, &target, &in, directive);
		assert_false(ZSTD_isError(left));
		out->len += target.pos;
	} while (in.pos < in.size || (directive == ZSTD_e_end && left > 0));
}

void append_frame(struct qosid_buf *out, const struct piece *pieces, size_t count, int window_log)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	assert_non_null(zstd);
	if (window_log > 0)
		assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log)));
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < pieces[i].count; j++)
			push(zstd, out, pieces[i].text, strlen(pieces[i].text), ZSTD_e_continue);
	}
	push(zstd, out, NULL, 0, ZSTD_e_end);
	(void)ZSTD_freeCCtx(zstd);
}

void encrypt(struct qosid_buf *out, const struct qosid_buf *plain, const struct age_key *key)
{
	const char *recipient = age_key_recipient(key);

	qosid_buf_reset(out);
	assert_done(age_encrypt_buf(out, &recipient, 1, plain->data, plain->len, E));
}

void build_payload(struct qosid_buf *out, const char *text, const struct age_key *key)
{
	const struct piece piece = {text, 1};
	struct qosid_buf frame = {0};

	append_frame(&frame, &piece, 1, 0);
	encrypt(out, &frame, key);
	qosid_buf_free(&frame);
}

void open_payload(struct qosid_buf *out, const struct qosid_buf *payload, const struct age_key *key)
{
	const struct age_unlock unlock = {.keys = &key, .key_count = 1};
	struct qosid_buf frame = {0};
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	size_t left = 1;

	assert_non_null(zstd);
	assert_done(age_decrypt_buf(&frame, &unlock, payload->data, payload->len, (size_t)64 << 20, E));
	ZSTD_inBuffer in = {frame.data, frame.len, 0};
	while (left > 0) {
		assert_done(qosid_buf_reserve(out, 65536, E));
		ZSTD_outBuffer target = {out->data + out->len, 65536, 0};
		left = ZSTD_decompressStream(zstd, &target, &in);
		assert_false(ZSTD_isError(left));
		assert_true(target.pos > 0 || left == 0);
		out->len += target.pos;
	}
	assert_int_equal(in.pos, in.size);
	assert_done(qosid_buf_append_byte(out, 0, E));
	out->len--;
	(void)ZSTD_freeDCtx(zstd);
	qosid_buf_free(&frame);
}
