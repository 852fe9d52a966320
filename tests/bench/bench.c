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
	"       consoled-bench forward SOCKET SOCKET      the least relay to another socket\n"
	"       consoled-bench spice SOCKET               a SPICE server without a machine\n"
	"\n"
	"Prints what it has measured as a JSON object. `run` makes a table of it.\n"
	"\n"
	"SECTION: attach, echo     OPTIONS: a side, --count\n"
	"         stream                    a side, --command that prints the numbers from 1 to --count\n"
	"         rest                      --socket, --target, --connections, --seconds\n"
	"         memory                    --relay, or --socket, --instance and --count of sessions\n"
	"         idle                      --socket, --count of instances, --seconds\n"
	"         start                     a side that is a container, --count\n"
	"         machine                   a side that is a machine (stopped) with tests/guests/bootsector, --count\n"
	"         vga                       --relay of the SPICE server, or --socket and --instance of a machine that\n"
	"                                   has this server for its own; --count of messages\n"
	"         viewers                   the same; the instances are NAME-0 to NAME-COUNT\n"
	"         screenshot                --relay of QEMU's monitor and --target of a file, or --socket and\n"
	"                                   --instance of a machine with tests/guests/vbe; --count\n"
	"         get                       --socket, --target, --count\n"
	"         replay                    --socket, --instance whose log ends with \"ready\", --replay, --count\n"
	"         sharing                   --socket, --instance that echoes all bytes as they are, --count of "
	"watchers\n"
	"         follow, wait              the same, --count of bytes or lines, --connections\n"
	"a side:  --socket SOCKET --instance NAME (its console is a shell) [--lxd] | --relay SOCKET | -- PROGRAM...\n"
	"         | --container -- CONSOLED-BENCH-CONTAINER LXCPATH NAME ROOTFS | --fifo PATH -- QEMU...\n";

static const struct {
	const char *name;
	json_t *(*run)(const struct options *options);
} sections[] = {
	{"attach", section_attach},
	{"echo", section_echo},
	{"stream", section_stream},
	{"rest", section_rest},
	{"memory", section_memory},
	{"idle", section_idle},
	{"start", section_start},
	{"machine", section_machine},
	{"vga", section_vga},
	{"viewers", section_viewers},
	{"screenshot", section_screenshot},
	{"sharing", section_sharing},
	{"replay", section_replay},
	{"get", section_get},
	{"follow", section_follow},
	{"wait", section_wait},
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
		{"replay", required_argument, NULL, 'p'},
		{"lxd", no_argument, NULL, 'l'},
		{"container", no_argument, NULL, 'k'},
		{"fifo", required_argument, NULL, 'f'},
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
		case 'f':
			options->fifo = optarg;
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
		case 'p':
			options->replay = optarg;
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
	if (argc == 4 && strcmp(argv[1], "forward") == 0)
		forward_serve(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "spice") == 0)
		spice_serve(argv[2]);
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
