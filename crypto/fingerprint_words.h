/*
 * The 256 words of fingerprints, one for each value of a byte. Common English words that are hard to mishear: no two
 * differ by one letter, no two begin with the same four. The order is part of the format: never change it.
 */
#ifndef QOSID_CRYPTO_FINGERPRINT_WORDS_H
#define QOSID_CRYPTO_FINGERPRINT_WORDS_H

#define FINGERPRINT_WORD_COUNT 256
#define FINGERPRINT_WORD_MAX 8 /* letters in the longest */

extern const char *const fingerprint_words[FINGERPRINT_WORD_COUNT];

#endif
