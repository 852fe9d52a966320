// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench.h"

#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TIME_LIMIT 300 /* seconds until a section that hangs gives up */

static const char usage[] =
	"usage: consoled-bench SECTION OPTIONS [-- PROGRAM...]\n"
	"       consoled-bench relay SOCKET PROGRAM...    the least relay\n"
	"       consoled-bench answer SOCKET FILE         the least HTTP server\n"
	"\n"
	"Prints what it has measured as a JSON object. `run` makes a table of it.\n"
	"\n"
	"SECTION: attach, echo     OPTIONS: a side, --count\n"
	"         stream                    a side, --command that prints the numbers from 1 to --count\n"
	"         rest                      --socket, --target, --connections, --seconds\n"
	"         memory                    --relay, or --socket, --instance and --count of sessions\n"
	"         idle                      --socket, --count of instances, --seconds\n"
	"         start                     a side that is a container, --count\n"
	"a side:  --socket SOCKET --instance NAME (its console is a shell) [--lxd] | --relay SOCKET | -- PROGRAM...\n"
	"         | --container -- CONSOLED-BENCH-CONTAINER LXCPATH NAME ROOTFS\n";

static const struct {
	const char *name;
	json_t *(*run)(const struct options *options);
} sections[] = {
	{"attach", section_attach}, {"echo", section_echo}, {"stream", section_stream}, {"rest", section_rest},
	{"memory", section_memory}, {"idle", section_idle}, {"start", section_start},
};

static int compare(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

int64_t percentile(int64_t *values, size_t length, double fraction)
{
	size_t rank = (size_t)(fraction * (double)length);

	qsort(values, length, sizeof(*values), compare);
	return values[rank < length ? rank : length - 1];
}

static void expired(int signal)
{
	static const char text[] = "consoled-bench: timed out\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"instance", required_argument, NULL, 'i'},
		{"relay", required_argument, NULL, 'r'},
		{"count", required_argument, NULL, 'n'},
		{"connections", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 'd'},
		{"command", required_argument, NULL, 'x'},
		{"target", required_argument, NULL, 'g'},
		{"lxd", no_argument, NULL, 'l'},
		{"container", no_argument, NULL, 'k'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		switch (option) {
		case 's':
			options->socket = optarg;
			break;
		case 'i':
			options->instance = optarg;
			break;
		case 'r':
			options->relay = optarg;
			break;
		case 'n':
			options->count = atoi(optarg);
			break;
		case 'l':
			options->lxd = true;
			break;
		case 'k':
			options->container = true;
			break;
		case 'c':
			options->connections = atoi(optarg);
			break;
		case 'd':
			options->seconds = atof(optarg);
			break;
		case 'x':
			options->command = optarg;
			break;
		case 'g':
			options->target = optarg;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (argv[optind])
		options->program = argv + optind;
}

/* Sockets of a thousand sessions. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct options options = {.count = 1, .connections = 1, .seconds = 1};

	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	if (argc >= 4 && strcmp(argv[1], "relay") == 0) {
		relay_serve(argv[2], argv + 3);
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "answer") == 0)
		answer_serve(argv[2], argv[3]);
	signal(SIGALRM, expired);
	alarm(TIME_LIMIT);
	for (size_t i = 0; argc >= 2 && i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (strcmp(argv[1], sections[i].name) != 0)
			continue;
		json_auto_t *figures = NULL;

		parse(&options, argc - 1, argv + 1);
		figures = sections[i].run(&options);
		json_dumpf(figures, stdout, JSON_COMPACT);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
