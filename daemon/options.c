// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include "api/handlers.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTACH_TIMEOUT 300 /* people paste secrets into websocat by hand */

static const char help[] =
	"Usage: consoled [OPTION]...\n"
	"Serve LXD's console API on a unix socket: `LXD_DIR=DIR lxc list` is all a client needs.\n"
	"\n"
	"      --dir DIR             where everything is kept, the socket included; made if it is not there\n"
	"                            (/var/lib/consoled, for an ordinary user $XDG_STATE_HOME/consoled)\n"
	"      --group GROUP         members may connect, too\n"
	"      --attach-timeout SEC  how long a console waits for its client to connect (300)\n"
	"      --keeper FILE         the consoled-keeper to start (the one beside consoled, or the installed one)\n"
	"  -v, --verbose             log what changes\n"
	"  -d, --debug               log everything\n"
	"      --routes              print the routes that are served, and exit\n"
	"  -h, --help                print this, and exit\n"
	"      --version             print the version, and exit\n"
	"\n"
	"SIGTERM ends the daemon; instances go on, and are found again by the next one.\n";

enum {
	OPTION_DIR = 256,
	OPTION_GROUP,
	OPTION_ATTACH_TIMEOUT,
	OPTION_KEEPER,
	OPTION_ROUTES,
	OPTION_VERSION,
};

static const struct option longs[] = {
	{"dir", required_argument, NULL, OPTION_DIR},
	{"group", required_argument, NULL, OPTION_GROUP},
	{"attach-timeout", required_argument, NULL, OPTION_ATTACH_TIMEOUT},
	{"keeper", required_argument, NULL, OPTION_KEEPER},
	{"verbose", no_argument, NULL, 'v'},
	{"debug", no_argument, NULL, 'd'},
	{"routes", no_argument, NULL, OPTION_ROUTES},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "consoled: %s%s\nTry 'consoled --help'.\n", what, value);
	return -EINVAL;
}

static void print_routes(void)
{
	for (const struct route *route = api_routes; route->method; route++)
		printf("%s %s\n", route->method, route->pattern);
}

/* Makes a path absolute, so that it holds wherever the daemon and its keepers stand. */
static int set_path(char path[static PATH_MAX], const char *value)
{
	char here[PATH_MAX];
	int length;

	if (value[0] == '/')
		length = snprintf(path, PATH_MAX, "%s", value);
	else if (getcwd(here, sizeof(here)))
		length = snprintf(path, PATH_MAX, "%s/%s", here, value);
	else
		return complain("the current directory is gone", "");
	return length < PATH_MAX && value[0] ? 0 : complain("not a path: ", value);
}

static int default_directory(char path[static PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int length;

	if (geteuid() == 0)
		return set_path(path, "/var/lib/consoled");
	if (state && state[0] == '/')
		length = snprintf(path, PATH_MAX, "%s/consoled", state);
	else if (home && home[0] == '/')
		length = snprintf(path, PATH_MAX, "%s/.local/state/consoled", home);
	else
		return complain("neither XDG_STATE_HOME nor HOME is set: use --dir", "");
	return length < PATH_MAX ? 0 : complain("the path of the home directory is too long", "");
}

/* The keeper beside this program, or beside it in a build tree, else where it is installed. */
static int default_keeper(char path[static PATH_MAX])
{
	static const char *const places[] = {"", "/../pty"};
	char self[PATH_MAX], *directory;
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length <= 0)
		return set_path(path, CONSOLED_LIBEXECDIR "/consoled-keeper");
	self[length] = '\0';
	directory = dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, PATH_MAX, "%s%s/consoled-keeper", directory, places[i]) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return 0;
	return set_path(path, CONSOLED_LIBEXECDIR "/consoled-keeper");
}

static int parse_seconds(const char *text, unsigned int *seconds)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*end || end == text || value < 1 || value > 86400)
		return complain("--attach-timeout takes whole seconds from 1 to 86400, not ", text);
	*seconds = (unsigned int)value;
	return 0;
}

static int parse_one(struct options *options, int option)
{
	switch (option) {
	case OPTION_DIR:
		return set_path(options->directory, optarg);
	case OPTION_GROUP:
		options->group = optarg;
		return 0;
	case OPTION_ATTACH_TIMEOUT:
		return parse_seconds(optarg, &options->attach_timeout);
	case OPTION_KEEPER:
		return set_path(options->keeper, optarg);
	case 'v':
		options->level = LOG_LEVEL_INFO;
		return 0;
	case 'd':
		options->level = LOG_LEVEL_DEBUG;
		return 0;
	case OPTION_ROUTES:
		print_routes();
		return OPTIONS_EXIT;
	case OPTION_VERSION:
		puts("consoled " CONSOLED_VERSION);
		return OPTIONS_EXIT;
	case 'h':
		fputs(help, stdout);
		return OPTIONS_EXIT;
	default:
		return complain("see above", ""); /* getopt has said what */
	}
}

int options_parse(struct options *options, int argc, char **argv)
{
	int option, r = 0;

	*options = (struct options){.level = LOG_LEVEL_WARN, .attach_timeout = ATTACH_TIMEOUT};
	while (r == 0 && (option = getopt_long(argc, argv, "vdh", longs, NULL)) != -1)
		r = parse_one(options, option);
	if (r == 0 && optind < argc)
		r = complain("unexpected argument: ", argv[optind]);
	if (r == 0 && !options->directory[0])
		r = default_directory(options->directory);
	if (r == 0 && !options->keeper[0])
		r = default_keeper(options->keeper);
	if (r == 0 && access(options->keeper, X_OK) < 0)
		r = complain("no keeper to start: ", options->keeper);
	return r;
}
