// SPDX-License-Identifier: Apache-2.0
#include "tests/live/ground.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 30000
#define END_SECONDS 60
#define MARKER "CONSOLED_LIVE_DIR" /* in the environment of all that the daemon starts */

void complain(struct ground *ground, const char *format, ...)
{
	va_list args;

	ground->failed = true;
	fputs("FAILED: ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* --- beginning --- */

static void read_routes(const char *consoled, struct routes *routes)
{
	cleanup_free char *command = NULL;
	char text[8192];
	size_t length;
	FILE *out;

	if (asprintf(&command, "exec '%s' --routes", consoled) < 0 || !(out = popen(command, "r")))
		err(2, "%s", consoled);
	length = fread(text, 1, sizeof(text) - 1, out);
	text[length] = '\0';
	if (pclose(out) != 0 || length == 0)
		errx(2, "%s does not print its routes", consoled);
	routes_parse(routes, text);
}

/* Only the keeper of programs is there, so that no container and no machine is ever started. */
static void link_keeper(const struct ground *ground, const char *consoled, char keeper[static 128])
{
	cleanup_free char *copy = strdup(consoled), *target = NULL, *real = NULL;

	if (asprintf(&target, "%s/../pty/consoled-keeper", dirname(copy)) < 0 || !(real = realpath(target, NULL)))
		err(2, "consoled-keeper");
	snprintf(keeper, 128, "%s/consoled-keeper", ground->directory);
	if (symlink(real, keeper) < 0)
		err(2, "%s", keeper);
}

static void become_daemon(const struct ground *ground, const char *consoled, const char *keeper, int out)
{
	sigset_t none;
	int errors = open(ground->errors, O_WRONLY | O_CREAT | O_APPEND, 0600);

	setenv(MARKER, ground->directory, 1);
	setenv("ASAN_OPTIONS", "quarantine_size_mb=8", 0); /* what is kept would look like a leak */
	setenv("UBSAN_OPTIONS", "print_stacktrace=1", 0);
	dup2(out, STDOUT_FILENO);
	dup2(errors, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	execl(consoled, consoled, "--dir", ground->directory, "--keeper", keeper, "--attach-timeout", "3", NULL);
	_exit(127);
}

void ground_begin(struct ground *ground, const char *consoled, struct routes *routes)
{
	struct pollfd ready = {.events = POLLIN};
	char keeper[128], line[256];
	int ends[2];

	*ground = (struct ground){.directory = "/tmp/live-XXXXXX"};
	read_routes(consoled, routes);
	if (!mkdtemp(ground->directory) || pipe(ends) < 0)
		err(2, "%s", ground->directory);
	snprintf(ground->socket, sizeof(ground->socket), "%s/unix.socket", ground->directory);
	snprintf(ground->errors, sizeof(ground->errors), "%s/stderr", ground->directory);
	link_keeper(ground, consoled, keeper);
	ground->daemon = fork();
	if (ground->daemon == 0)
		become_daemon(ground, consoled, keeper, ends[1]);
	close(ends[1]);
	ready.fd = ends[0];
	if (poll(&ready, 1, READY_MS) <= 0 || read(ends[0], line, sizeof(line)) <= 0)
		errx(2, "the daemon does not get ready: see %s", ground->errors);
	close(ends[0]);
}

int ground_connect(const struct ground *ground)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", ground->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -1;
	return move_fd(&fd);
}

/* --- looking --- */

bool ground_alive(const struct ground *ground)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)ground->daemon, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

static unsigned int count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned int count = 0;

	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

/* Whether the process has been started by our daemon, or is it. */
static bool is_ours(const struct ground *ground, const char *pid)
{
	char path[300], text[65536], marker[96];
	cleanup_close int fd = -1;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%s/environ", pid);
	snprintf(marker, sizeof(marker), MARKER "=%s", ground->directory);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text));
	return length > 0 && memmem(text, (size_t)length, marker, strlen(marker));
}

/* Calls `each` with those, and counts them. */
static unsigned int each_process(const struct ground *ground, void (*each)(pid_t pid))
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	unsigned int count = 0;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 0 || pid == getpid() || !is_ours(ground, entry->d_name))
			continue;
		count++;
		if (each)
			each(pid);
	}
	if (proc)
		closedir(proc);
	return count;
}

/* Counts the files of the directory, and itself; with `remove`, they go. */
static unsigned int each_file(const struct ground *ground, bool remove)
{
	FTS *walk = fts_open((char *const[]){(char *)ground->directory, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	unsigned int count = 0;
	FTSENT *entry;

	while (walk && (entry = fts_read(walk))) {
		if (entry->fts_info == FTS_D) /* it comes again, behind what is in it */
			continue;
		count++;
		if (remove && unlinkat(AT_FDCWD, entry->fts_path, entry->fts_info == FTS_DP ? AT_REMOVEDIR : 0) < 0)
			warn("%s", entry->fts_path);
	}
	if (walk)
		fts_close(walk);
	return count;
}

struct measure ground_measure(const struct ground *ground)
{
	struct measure measure = {0};
	unsigned long pages = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)ground->daemon);
	measure.descriptors = count_entries(path);
	measure.processes = each_process(ground, NULL);
	measure.files = each_file(ground, false);
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)ground->daemon);
	file = fopen(path, "re");
	if (file && fscanf(file, "%*u %lu", &pages) == 1)
		measure.resident = pages * (size_t)sysconf(_SC_PAGESIZE);
	if (file)
		fclose(file);
	return measure;
}

/* --- ending --- */

static void kill_it(pid_t pid)
{
	kill(pid, SIGKILL);
}

static bool end_daemon(struct ground *ground, int *status)
{
	kill(ground->daemon, SIGTERM);
	for (int i = 0; i < END_SECONDS * 100; i++) {
		if (waitpid(ground->daemon, status, WNOHANG) == ground->daemon)
			return true;
		poll(NULL, 0, 10);
	}
	kill(ground->daemon, SIGKILL);
	return waitpid(ground->daemon, status, 0) < 0;
}

/* A report of a sanitizer, or anything that a daemon says of itself that it must not. */
static void check_errors(struct ground *ground)
{
	static const char *const words[] = {"Sanitizer", "runtime error:", "Assertion ", "handles were left"};
	char line[4096];
	FILE *file = fopen(ground->errors, "re");
	bool shown = false;

	while (file && fgets(line, sizeof(line), file)) {
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !shown; i++)
			shown = strstr(line, words[i]);
		if (shown)
			fputs(line, stdout);
	}
	if (file)
		fclose(file);
	if (shown)
		complain(ground, "the daemon's words above");
}

void ground_finish(struct ground *ground)
{
	int status = 0;

	if (!end_daemon(ground, &status))
		complain(ground, "the daemon does not end");
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		complain(ground, "the daemon has ended with status 0x%x", (unsigned int)status);
	each_process(ground, kill_it);
	check_errors(ground);
	each_file(ground, true);
}
