/* Hashing passwords, remembering right ones, slowing down guesses; see users.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/users.h"
#include "daemon/clock.h"

#define KNOWN 1024       /* remembered passwords, by their keyed hash */
#define KNOWN_FOR 600000 /* ms */
#define GUESSES 4096     /* names and addresses with failures */
#define FREE_GUESSES 5   /* of one name from one address; then the waiting begins, and doubles */
#define FREE_GUESSES_ADDRESS 50
#define WAIT_MOST 300000
#define WAIT_MOST_ADDRESS 10000 /* there may be many people behind one address */
#define FORGET_AFTER 3600000

struct known {
	uint8_t token[32];
	int64_t until;
};

struct guess {
	uint64_t key;
	unsigned failures;
	int64_t last, until;
};

struct password_memory {
	pthread_mutex_t lock;
	pthread_mutex_t hashing; /* one at a time */
	uint8_t key[32];         /* of this run */
	struct known known[KNOWN];
	struct guess guesses[GUESSES];
};

int password_memory_create(struct password_memory **out, struct qosid_errbuf *err)
{
	struct password_memory *memory = calloc(1, sizeof *memory);
	if (!memory)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for passwords");
	(void)pthread_mutex_init(&memory->lock, NULL); /* default attributes: cannot fail on Linux */
	(void)pthread_mutex_init(&memory->hashing, NULL);
	randombytes_buf(memory->key, sizeof memory->key);
	*out = memory;
	return 0;
}

void password_memory_free(struct password_memory *memory)
{
	if (!memory)
		return;
	(void)pthread_mutex_destroy(&memory->lock);
	(void)pthread_mutex_destroy(&memory->hashing);
	sodium_memzero(memory, sizeof *memory);
	free(memory);
}

int password_hash(const char *password, char out[USERS_HASH_SIZE], struct qosid_errbuf *err)
{
	memset(out, 0, USERS_HASH_SIZE);
	if (crypto_pwhash_str(out, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
		crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory to hash a password");
	return 0;
}

static void hash_texts(const struct password_memory *memory, const char *a, const char *b, void *out, size_t size)
{
	crypto_generichash_state state;
	(void)crypto_generichash_init(&state, memory->key, sizeof memory->key, size);
	(void)crypto_generichash_update(&state, (const unsigned char *)a, strlen(a) + 1);
	(void)crypto_generichash_update(&state, (const unsigned char *)b, strlen(b) + 1);
	(void)crypto_generichash_final(&state, out, size);
}

/* As long as a comparison with a real hash takes, so that it does not show which names exist. */
static void waste_time(const char *password)
{
	static const uint8_t salt[crypto_pwhash_SALTBYTES];
	uint8_t out[32];
	int rc = crypto_pwhash(out, sizeof out, password, strlen(password), salt, crypto_pwhash_OPSLIMIT_INTERACTIVE,
	    crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_DEFAULT);
	(void)rc; /* without memory it was quick, and so is everything else then */
}

static bool is_known(struct password_memory *memory, const struct known *known, const uint8_t token[32])
{
	(void)pthread_mutex_lock(&memory->lock);
	bool good = known->until > clock_now() && sodium_memcmp(known->token, token, sizeof known->token) == 0;
	(void)pthread_mutex_unlock(&memory->lock);
	return good;
}

bool password_verify(struct password_memory *memory, const char *hash, const char *password)
{
	uint8_t token[32];
	uint32_t slot;
	hash_texts(memory, hash ? hash : "", password, token, sizeof token);
	memcpy(&slot, token, sizeof slot);
	struct known *known = &memory->known[slot % KNOWN];

	if (hash && is_known(memory, known, token))
		return true;
	(void)pthread_mutex_lock(&memory->hashing);
	bool good = hash && is_known(memory, known, token); /* while it waited for its turn */
	if (hash && !good)
		good = crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
	else if (!hash)
		waste_time(password);
	if (good) {
		(void)pthread_mutex_lock(&memory->lock);
		memcpy(known->token, token, sizeof token);
		known->until = clock_now() + KNOWN_FOR;
		(void)pthread_mutex_unlock(&memory->lock);
	}
	(void)pthread_mutex_unlock(&memory->hashing);
	return good;
}

/* ---- guesses; one slot a hash of who: two that share one only wait a little more ---- */

static struct guess *find_guess(struct password_memory *memory, const char *name, const char *peer, uint64_t *key)
{
	char address[64];
	const char *port = strrchr(peer, ':');
	size_t len = port && strncmp(peer, "unix:", 5) != 0 ? (size_t)(port - peer) : strlen(peer);
	uint8_t hash[16];
	if (len >= sizeof address)
		len = sizeof address - 1;
	memcpy(address, peer, len);
	address[len] = '\0';
	hash_texts(memory, name, address, hash, sizeof hash);
	memcpy(key, hash, sizeof *key);
	return &memory->guesses[*key % GUESSES];
}

bool password_must_wait(struct password_memory *memory, const char *name, const char *peer)
{
	uint64_t key, address_key;
	int64_t now = clock_now();
	(void)pthread_mutex_lock(&memory->lock);
	const struct guess *guess = find_guess(memory, name, peer, &key);
	const struct guess *address = find_guess(memory, "", peer, &address_key);
	bool wait = (guess->key == key && guess->until > now) || (address->key == address_key && address->until > now);
	(void)pthread_mutex_unlock(&memory->lock);
	return wait;
}

static void note_failure(struct guess *guess, uint64_t key, unsigned allowed, int64_t most)
{
	int64_t now = clock_now();
	if (guess->key != key || now - guess->last > FORGET_AFTER)
		*guess = (struct guess){.key = key};
	guess->last = now;
	guess->failures++;
	if (guess->failures >= allowed) {
		unsigned doublings = guess->failures - allowed;
		int64_t wait = (int64_t)1000 << (doublings < 20 ? doublings : 20);
		guess->until = now + (wait < most ? wait : most);
	}
}

void password_note(struct password_memory *memory, const char *name, const char *peer, bool good)
{
	uint64_t key, address_key;
	(void)pthread_mutex_lock(&memory->lock);
	struct guess *guess = find_guess(memory, name, peer, &key);
	struct guess *address = find_guess(memory, "", peer, &address_key);
	if (good) {
		if (guess->key == key)
			*guess = (struct guess){0};
	} else {
		note_failure(guess, key, FREE_GUESSES, WAIT_MOST);
		note_failure(address, address_key, FREE_GUESSES_ADDRESS, WAIT_MOST_ADDRESS);
	}
	(void)pthread_mutex_unlock(&memory->lock);
}
