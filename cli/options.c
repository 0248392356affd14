/*
 * Command line options: see options.h. Keeps no state of its own; getopt's is the C library's.
 */
#include "cli/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"

int options_wrong(struct cli *cli, struct qosid_errbuf *err, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)qosid_error(err, QOSID_ERR_USAGE, "%s", text);
	if (cli->command != NULL)
		qosid_error_hint(err, "qosid %s --help shows how it is used", cli->command->name);
	else
		qosid_error_hint(err, "qosid help lists the commands");
	return QOSID_ERR_USAGE;
}

int options_change_directory(const char *dir, struct qosid_errbuf *err)
{
	if (chdir(dir) != 0)
		return qosid_error_errno(err, errno, "cannot change into the folder %s", dir);
	return 0;
}

/* getopt has refused an option and left it just before optind, or its letter in optopt. */
static int refuse_option(struct cli *cli, int opt, char **argv, struct qosid_errbuf *err)
{
	if (opt == ':')
		return options_wrong(cli, err, "option %s needs a value", argv[optind - 1]);
	if (optopt == 0)
		return options_wrong(cli, err, "unknown option %s", argv[optind - 1]);
	if (strncmp(argv[optind - 1], "--", 2) == 0)
		return options_wrong(cli, err, "option %s takes no value", argv[optind - 1]);
	return options_wrong(cli, err, "unknown option -%c", optopt);
}

int options_next(
    struct cli *cli, int argc, char **argv, const char *letters, const struct option *table, struct qosid_errbuf *err)
{
	char all[64];
	int opt, code;

	(void)snprintf(
	    all, sizeof(all), "%s:qvhC:%s", letters[0] == '+' ? "+" : "", letters[0] == '+' ? letters + 1 : letters);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, all, table, NULL)) != -1) {
		switch (opt) {
		case OPTION_JSON:
			cli->json = true;
			break;
		case OPTION_PASSPHRASE_FILE:
			cli->passphrase_file = optarg;
			break;
		case 'q':
			cli->quiet = true;
			break;
		case 'v':
			cli->verbose++;
			break;
		case 'C':
			code = options_change_directory(optarg, err);
			if (code != 0)
				return code;
			break;
		case 'h':
			output_help(cli->command);
			return CLI_DONE;
		case '?':
		case ':':
			return refuse_option(cli, opt, argv, err);
		default:
			return opt;
		}
	}
	return 0;
}

int options_arguments(struct cli *cli, int argc, char **argv, int min, int max, struct qosid_errbuf *err)
{
	int given = argc - optind;

	if (given < min)
		return options_wrong(cli, err, "%s is missing: qosid %s %s",
		    given == 0 ? "an argument" : "another argument", cli->command->name, cli->command->synopsis);
	if (given > max)
		return options_wrong(cli, err, "unexpected argument %s", argv[optind + max]);
	return 0;
}

int options_number(int64_t *out, const char *option, const char *text, int64_t max, struct qosid_errbuf *err)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > max)
		return qosid_error(err, QOSID_ERR_USAGE, "%s needs a whole number from 0 to %lld, not \"%s\"", option,
		    (long long)max, text);
	*out = value;
	return 0;
}
