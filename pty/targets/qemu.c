// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/qemu.h"
#include "pty/targets/accel.h"
#include "pty/targets/child.h"
#include "util/cleanup.h"
#include "util/local.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PIPE_SIZE (1024 * 1024)
#define BACKLOG 16   /* keepers that have died before QEMU looked leave their connections in it */
#define LOG_END 4096 /* so much of the log is looked at */

/* Kept for all machines, in the daemon's directory; seen from run/NAME. */
#define ACCEL_CACHE "../../accel"

enum monitor {
	MONITOR_KEEPER,
	MONITOR_DAEMON,
	MONITORS,
};

static const char *const monitor_names[MONITORS] = {[MONITOR_KEEPER] = "keeper.qmp", [MONITOR_DAEMON] = "qmp"};

static const char output_name[] = "console.out";
static const char input_name[] = "console.in";
static const char pid_name[] = "qemu.pid";
static const char spice_name[] = "spice";

/* --- FIFOs --- */

static int make_fifo(int directory, const char *name)
{
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return mkfifoat(directory, name, 0600) < 0 ? -errno : 0;
}

int qemu_make_fifos(int directory)
{
	int r = make_fifo(directory, output_name);

	return r == 0 ? make_fifo(directory, input_name) : r;
}

int qemu_open_fifos(int directory, int *output, int *input)
{
	cleanup_close int from = openat(directory, output_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	cleanup_close int to = -1;

	if (from < 0)
		return -errno;
	/* Both ways: before QEMU has opened it, it could not be opened for writing alone (fifo(7)). */
	to = openat(directory, input_name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return -errno;
	fcntl(from, F_SETPIPE_SZ, PIPE_SIZE); /* refused to a user who has many: then it is smaller */
	*output = move_fd(&from);
	*input = move_fd(&to);
	return 0;
}

/* --- monitors --- */

/* By way of the directory's descriptor, so that the path is short whatever the directory. */
static struct sockaddr_un address_of(int directory, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, name);
	return address;
}

static int listen_at(int directory, const char *name)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = address_of(directory, name);

	if (fd < 0)
		return -errno;
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return move_fd(&fd);
}

int qemu_connect(int directory)
{
	cleanup_close int file = local_open(directory, monitor_names[MONITOR_KEEPER]);

	return file < 0 ? file : local_connect(file);
}

/* --- the process --- */

/* QEMU's options, and behind them what is ours. To be freed with what it holds. */
struct arguments {
	char monitors[MONITORS][64];
	char *argv[];
};

static struct arguments *complete(char *const *given, const int listeners[static MONITORS])
{
	static const char *const console[] = {"-chardev", "pipe,id=console,path=console", "-serial", "chardev:console"};
	static const char *const modes[MONITORS] = {"chardev=keeper,mode=control", "chardev=daemon,mode=control"};
	static const char *const ids[MONITORS] = {"keeper", "daemon"};
	size_t count = 0;
	struct arguments *arguments;

	while (given[count])
		count++;
	arguments = malloc(sizeof(*arguments) + (count + 4 + MONITORS * 4 + 1) * sizeof(char *));
	if (!arguments)
		return NULL;
	memcpy(arguments->argv, given, count * sizeof(char *));
	memcpy(arguments->argv + count, console, sizeof(console));
	count += 4;
	for (int i = 0; i < MONITORS; i++) {
		snprintf(arguments->monitors[i], sizeof(arguments->monitors[i]),
			 "socket,id=%s,fd=%d,server=on,wait=off", ids[i], listeners[i]);
		arguments->argv[count++] = (char *)"-chardev";
		arguments->argv[count++] = arguments->monitors[i];
		arguments->argv[count++] = (char *)"-mon";
		arguments->argv[count++] = (char *)modes[i];
	}
	arguments->argv[count] = NULL;
	return arguments;
}

/* Before QEMU is executed, so that no later keeper can miss it. */
static int note_pid(void)
{
	cleanup_close int fd = open(pid_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 || dprintf(fd, "%d\n", getpid()) < 0 ? -errno : 0;
}

/* The child: never returns. What fails is said where QEMU would say it. */
static void become(int directory, const struct console_machine *machine, int log, char **argv,
		   const int listeners[static MONITORS])
{
	setsid(); /* the keeper's session ends with it */
	child_reset_signals();
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (fchdir(directory) == 0 && note_pid() == 0) {
		environ = (char **)machine->environment; /* execvp(3) looks in this PATH, execvpe(3) in the keeper's */
		accel_resolve(argv, ACCEL_DEVICE, ACCEL_CACHE);
		for (int i = 0; i < MONITORS; i++)
			fcntl(listeners[i], F_SETFD, 0);
		execvp(argv[0], argv);
	}
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static pid_t spawn(int directory, const struct console_machine *machine, const int listeners[static MONITORS])
{
	cleanup_close int log =
		open(machine->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	cleanup_free struct arguments *arguments = NULL;
	pid_t pid;

	if (log < 0)
		return -errno;
	arguments = complete(machine->argv, listeners);
	if (!arguments)
		return -ENOMEM;
	pid = fork();
	if (pid == 0)
		become(directory, machine, log, arguments->argv, listeners);
	return pid < 0 ? -errno : pid;
}

pid_t qemu_spawn(int directory, const struct console_machine *machine, int *pidfd, int *monitor)
{
	cleanup_close int keepers = listen_at(directory, monitor_names[MONITOR_KEEPER]);
	cleanup_close int daemons = listen_at(directory, monitor_names[MONITOR_DAEMON]);
	cleanup_close int connection = -1;
	pid_t pid;
	int fd;

	if (keepers < 0 || daemons < 0)
		return keepers < 0 ? keepers : daemons;
	connection = qemu_connect(directory); /* it waits in the queue until QEMU looks there, or is cut off with it */
	if (connection < 0)
		return connection;
	pid = spawn(directory, machine, (int[]){keepers, daemons});
	if (pid < 0)
		return pid;
	fd = child_open_pidfd(pid);
	if (fd < 0)
		return fd;
	*pidfd = fd;
	*monitor = move_fd(&connection);
	return pid;
}

static pid_t read_pid(int directory)
{
	cleanup_close int fd = openat(directory, pid_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[16];
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	long pid;

	if (length <= 0)
		return 0;
	text[length] = '\0';
	pid = strtol(text, NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

int qemu_find(int directory, pid_t *pid)
{
	cleanup_close int fd = -1;
	pid_t found = read_pid(directory);
	struct stat here, there;
	char path[32];

	fd = found > 0 ? pidfd_open(found, 0) : -1;
	if (fd < 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/cwd", found); /* another that has its number now is not there */
	if (stat(path, &there) < 0 || fstat(directory, &here) < 0 || here.st_dev != there.st_dev ||
	    here.st_ino != there.st_ino)
		return -ESRCH;
	*pid = found;
	return move_fd(&fd);
}

/* --- the end --- */

static bool begins_with(const char *line, const char *prefix, size_t length)
{
	return strncmp(line, prefix, length) == 0;
}

/* Its last message; other lines are hints ("Use -machine help to list ..."), if not all there is. */
static const char *last_message(char *text, const char *program)
{
	size_t length = strlen(program);
	const char *message = NULL;
	bool from_program = false;
	char *rest;

	for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
		bool now = begins_with(line, program, length) && line[length] == ':';

		if (begins_with(line, ACCEL_PREFIX, strlen(ACCEL_PREFIX)) || (from_program && !now))
			continue;
		message = line;
		from_program = now;
	}
	return message;
}

void qemu_last_words(const struct console_machine *machine, struct error *error)
{
	cleanup_close int fd = open(machine->log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	const char *slash = strrchr(machine->argv[0], '/');
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char text[LOG_END + 1];
	ssize_t length = fd < 0 ? -1 : pread(fd, text, LOG_END, end > LOG_END ? end - LOG_END : 0);
	const char *words;

	text[length < 0 ? 0 : length] = '\0';
	words = last_message(text, slash ? slash + 1 : machine->argv[0]);
	error_set(error, -EIO, "%s", words ? words : "QEMU has ended without a word");
}

void qemu_remove_files(int directory)
{
	const char *const files[] = {output_name,
				     input_name,
				     pid_name,
				     spice_name,
				     monitor_names[MONITOR_KEEPER],
				     monitor_names[MONITOR_DAEMON]};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(directory, files[i], 0);
}
