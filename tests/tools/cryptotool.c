/*
 * The crypto layer as a program, for system tests that put it beside the stock age and ssh-keygen. Data comes in on
 * stdin and goes out on stdout; a passphrase is taken from CRYPTOTOOL_PASSPHRASE. Exits with qosid_error_exit_code().
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/age.h"
#include "crypto/fingerprint.h"
#include "crypto/keys.h"
#include "crypto/sink.h"
#include "crypto/sshsig.h"

static const char usage[] =
    "usage: cryptotool keygen FILE               a new identity, wrapped when there is a passphrase\n"
    "       cryptotool public FILE               its recipient, public key line and fingerprint\n"
    "       cryptotool export-openssh FILE       its signing key for ssh-keygen\n"
    "       cryptotool allowed-signer FILE NAME  its line for allowed_signers\n"
    "       cryptotool encrypt RECIPIENT...\n"
    "       cryptotool decrypt FILE              with an identity or an age identity file\n"
    "       cryptotool encrypt-pass LOG2N\n"
    "       cryptotool decrypt-pass\n"
    "       cryptotool sign FILE NAMESPACE\n"
    "       cryptotool verify SIGNATURE NAMESPACE PUBLIC-KEY-LINE\n"
    "       cryptotool signer SIGNATURE          the public key line it claims\n";

static const char *passphrase(void)
{
	return getenv("CRYPTOTOOL_PASSPHRASE");
}

static int ask(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	const char *text = passphrase();

	(void)context;
	if (text == NULL)
		return qosid_error(err, QOSID_ERR_USAGE, "set CRYPTOTOOL_PASSPHRASE for %s", path);
	return qosid_buf_append_text(buf, text, err);
}

static int read_all(struct qosid_buf *buf, FILE *file, struct qosid_errbuf *err)
{
	struct qosid_buf_sink target = {buf, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);

	return qosid_sink_pump_fd(fileno(file), &sink, err);
}

static int read_path(struct qosid_buf *buf, const char *path, struct qosid_errbuf *err)
{
	FILE *file = fopen(path, "re");
	int rc;

	if (file == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "cannot open %s", path);
	rc = read_all(buf, file, err);
	(void)fclose(file); /* only read from */
	return rc;
}

static int run_keygen(char **args, struct qosid_errbuf *err)
{
	struct identity *identity;
	int rc;

	rc = identity_create(&identity, err);
	if (rc == 0)
		rc = identity_save(identity, args[0], passphrase(), err);
	identity_free(identity);
	return rc;
}

/* What is said of an identity: one of the commands that take FILE first. */
static int run_with_identity(const char *command, char **args, struct qosid_errbuf *err)
{
	struct qosid_buf out = {0}, message = {0};
	struct identity *identity;
	int rc;

	rc = identity_load(&identity, args[0], ask, NULL, err);
	if (rc < 0)
		return rc;
	if (strcmp(command, "public") == 0) {
		rc = qosid_buf_append_format(
		    &out, err, "%s\n%s\n", identity_recipient(identity), identity_ssh_public(identity));
		if (rc == 0)
			rc = fingerprint_format(
			    &out, identity_signing_public(identity), identity_recipient(identity), err);
		if (rc == 0)
			rc = qosid_buf_append_byte(&out, '\n', err);
	} else if (strcmp(command, "export-openssh") == 0) {
		rc = identity_format_openssh(identity, &out, err);
	} else if (strcmp(command, "allowed-signer") == 0) {
		rc = sshsig_format_allowed_signer(&out, args[1], identity_signing_public(identity), err);
	} else {
		rc = read_all(&message, stdin, err);
		if (rc == 0)
			rc = sshsig_sign(&out, identity, args[1], message.data, message.len, err);
	}
	if (rc == 0 && fwrite(out.data, 1, out.len, stdout) != out.len)
		rc = qosid_error(err, QOSID_ERR_IO, "cannot write");
	identity_free(identity);
	qosid_buf_free(&message);
	qosid_buf_wipe(&out);
	return rc;
}

static int encrypt_write(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return age_encryptor_write(context, data, len, err);
}

static int decrypt_write(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return age_decryptor_write(context, data, len, err);
}

static int run_encrypt(char **args, int count, int with_passphrase, struct qosid_errbuf *err)
{
	int fd = STDOUT_FILENO, rc;
	struct qosid_sink sink = qosid_sink_to_fd(&fd), input = {encrypt_write, NULL};
	struct age_encryptor *encryptor;
	const char *recipients[64];

	if (count > 64)
		return qosid_error(err, QOSID_ERR_USAGE, "too many recipients");
	for (int i = 0; i < count; i++)
		recipients[i] = args[i];
	if (with_passphrase)
		rc =
		    age_encryptor_open_passphrase(&encryptor, passphrase(), (int)strtol(args[0], NULL, 10), &sink, err);
	else
		rc = age_encryptor_open(&encryptor, recipients, (size_t)count, &sink, err);
	if (rc < 0)
		return rc;
	input.context = encryptor;
	rc = qosid_sink_pump_fd(STDIN_FILENO, &input, err);
	if (rc == 0)
		rc = age_encryptor_finish(encryptor, err);
	age_encryptor_free(encryptor);
	return rc;
}

static int decrypt(const struct age_unlock *unlock, struct qosid_errbuf *err)
{
	int fd = STDOUT_FILENO, rc;
	struct qosid_sink sink = qosid_sink_to_fd(&fd), input = {decrypt_write, NULL};
	struct age_decryptor *decryptor;

	rc = age_decryptor_open(&decryptor, unlock, &sink, err);
	if (rc < 0)
		return rc;
	input.context = decryptor;
	rc = qosid_sink_pump_fd(STDIN_FILENO, &input, err);
	if (rc == 0)
		rc = age_decryptor_finish(decryptor, err);
	age_decryptor_free(decryptor);
	return rc;
}

static int run_decrypt(char **args, struct qosid_errbuf *err)
{
	struct identity *identity = NULL;
	struct age_key *parsed = NULL;
	const struct age_key *key;
	struct qosid_buf text = {0};
	int rc;

	rc = identity_load(&identity, args[0], ask, NULL, err);
	if (rc == QOSID_ERR_INVALID) {
		rc = read_path(&text, args[0], err);
		if (rc == 0)
			rc = age_key_parse_file(&parsed, (const char *)text.data, text.len, err);
	}
	key = identity != NULL ? identity_age_key(identity) : parsed;
	if (rc == 0)
		rc = decrypt(&(struct age_unlock){.keys = &key, .key_count = 1}, err);
	identity_free(identity);
	age_key_free(parsed);
	qosid_buf_wipe(&text);
	return rc;
}

static int run_verify(char **args, int only_signer, struct qosid_errbuf *err)
{
	struct qosid_buf armor = {0}, message = {0};
	uint8_t public_key[SIGNING_PUBLIC_BYTES];
	char line[SSH_PUBLIC_SIZE];
	int rc;

	rc = read_path(&armor, args[0], err);
	if (rc == 0 && only_signer) {
		rc = sshsig_parse_signer((const char *)armor.data, armor.len, public_key, err);
		if (rc == 0) {
			sshkey_format_public(line, public_key);
			printf("%s\n", line);
		}
	} else if (rc == 0) {
		rc = sshkey_parse_public(public_key, args[2], strlen(args[2]), err);
		if (rc == 0)
			rc = read_all(&message, stdin, err);
		if (rc == 0)
			rc = sshsig_verify(
			    (const char *)armor.data, armor.len, args[1], message.data, message.len, public_key, err);
	}
	qosid_buf_free(&armor);
	qosid_buf_free(&message);
	return rc;
}

static int run(int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct {
		const char *name;
		int arguments; /* at least */
	} commands[] = {{"keygen", 1}, {"public", 1}, {"export-openssh", 1}, {"allowed-signer", 2}, {"sign", 2},
	    {"encrypt", 1}, {"decrypt", 1}, {"encrypt-pass", 1}, {"decrypt-pass", 0}, {"verify", 3}, {"signer", 1}};
	char **args = argv + 2;
	int known = 0;

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		known |= strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].arguments;
	if (!known)
		return qosid_error(err, QOSID_ERR_USAGE, "%s", usage);
	if (strcmp(argv[1], "keygen") == 0)
		return run_keygen(args, err);
	if (strcmp(argv[1], "encrypt") == 0)
		return run_encrypt(args, argc - 2, 0, err);
	if (strcmp(argv[1], "encrypt-pass") == 0 && passphrase() != NULL)
		return run_encrypt(args, 0, 1, err);
	if (strcmp(argv[1], "decrypt") == 0)
		return run_decrypt(args, err);
	if (strcmp(argv[1], "decrypt-pass") == 0)
		return decrypt(&(struct age_unlock){.passphrase = passphrase()}, err);
	if (strcmp(argv[1], "verify") == 0)
		return run_verify(args, 0, err);
	if (strcmp(argv[1], "signer") == 0)
		return run_verify(args, 1, err);
	return run_with_identity(argv[1], args, err);
}

int main(int argc, char **argv)
{
	struct qosid_errbuf err = {0};
	int rc;

	if (sodium_init() < 0)
		return 1;
	rc = run(argc, argv, &err);
	if (rc < 0)
		(void)fprintf(stderr, "cryptotool: %s%s%s: %s%s%s\n", qosid_error_name(rc),
		    err.where[0] != '\0' ? ": " : "", err.where, err.what, err.hint[0] != '\0' ? "; " : "", err.hint);
	return qosid_error_exit_code(rc);
}
