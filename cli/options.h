/*
 * Command line options: getopt_long with the options that every command has, and errors in Qosid's words.
 */
#ifndef QOSID_CLI_OPTIONS_H
#define QOSID_CLI_OPTIONS_H

#include <getopt.h>

#include "cli/cli.h"

/* Values of long options that have no letter. A command numbers its own from OPTION_OWN. */
enum { OPTION_JSON = 1000, OPTION_PASSPHRASE_FILE, OPTION_OWN };

/* Every command's table of long options ends with this. */
/* clang-format off */
#define OPTIONS_COMMON \
	{"json", no_argument, NULL, OPTION_JSON}, \
	{"quiet", no_argument, NULL, 'q'}, \
	{"verbose", no_argument, NULL, 'v'}, \
	{"help", no_argument, NULL, 'h'}, \
	{"passphrase-file", required_argument, NULL, OPTION_PASSPHRASE_FILE}, \
	{NULL, 0, NULL, 0}
/* clang-format on */

/* The next option of the command's own (> 0; its argument in optarg), 0 at the end, or a negative code: a usage error
 * or CLI_DONE after --help. letters are the command's own, without -q, -v, -h and -C, which are handled here. */
int options_next(
    struct cli *cli, int argc, char **argv, const char *letters, const struct option *table, struct qosid_errbuf *err);

/* Check the number of arguments that are left from optind on. */
int options_arguments(struct cli *cli, int argc, char **argv, int min, int max, struct qosid_errbuf *err);

/* A usage error with a hint to the command's --help. */
int options_wrong(struct cli *cli, struct qosid_errbuf *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Read a whole number from 0 to max. */
int options_number(int64_t *out, const char *option, const char *text, int64_t max, struct qosid_errbuf *err);

/* Change into dir, as -C asks. */
int options_change_directory(const char *dir, struct qosid_errbuf *err);

#endif
