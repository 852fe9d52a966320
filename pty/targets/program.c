// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/program.h"
#include "pty/targets/child.h"
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* How far a child got. */
enum stage {
	STAGE_TERMINAL,
	STAGE_IDENTITY,
	STAGE_DIRECTORY,
	STAGE_EXEC,
};

/* What a child that fails writes into the pipe, at once (less than PIPE_BUF). */
struct report {
	uint32_t stage;
	int32_t error; /* errno */
};

/* The settings of a terminal that was just made: Linux's defaults plus UTF-8 erasing, as login(1) would leave them. */
static void reset_settings(int slave)
{
	static const cc_t controls[] = {
		[VINTR] = 3,     [VQUIT] = 28,   [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
		[VMIN] = 1,      [VSTART] = 17,  [VSTOP] = 19,   [VSUSP] = 26, [VREPRINT] = 18,
		[VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
	};
	struct termios settings = {
		.c_iflag = ICRNL | IXON | IUTF8,
		.c_oflag = OPOST | ONLCR,
		.c_cflag = CS8 | CREAD,
		.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	};

	memcpy(settings.c_cc, controls, sizeof(controls));
	cfsetspeed(&settings, B38400);
	tcsetattr(slave, TCSANOW, &settings);
	tcflow(slave, TCOON); /* somebody may have typed ^S */
	tcflush(slave, TCIFLUSH);
}

int program_open_slave(int master, const struct console_program *program)
{
	cleanup_close int slave = terminal_hold_slave(master);

	if (slave < 0)
		return slave;
	reset_settings(slave);
	if (fchmod(slave, 0600) < 0)
		return -errno;
	if (geteuid() == 0 && fchown(slave, program->user ? program->uid : 0, (gid_t)-1) < 0)
		return -errno;
	return move_fd(&slave);
}

/* --- the child, between fork and exec --- */

static int take_terminal(int slave)
{
	if (setsid() < 0)
		return -errno;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(slave, fd) < 0)
			return -errno;
	return ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

/* The daemon may open many files; a program that uses select(2) must not: as at a login, it asks for more itself. */
static void reset_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= FD_SETSIZE)
		return;
	limit.rlim_cur = FD_SETSIZE;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The keeper's signals, files and habits are not the program's. */
static void reset_process(void)
{
	child_reset_signals();
	close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	reset_open_files();
	umask(022);
}

static int take_identity(const struct console_program *program)
{
	if (!program->user || geteuid() != 0)
		return 0;
	if (initgroups(program->user, program->gid) < 0 || setgid(program->gid) < 0 || setuid(program->uid) < 0)
		return -errno;
	return 0;
}

/* Returns only if it fails. */
static struct report become(const struct console_program *program, int slave)
{
	int r;

	r = take_terminal(slave);
	if (r < 0)
		return (struct report){STAGE_TERMINAL, -r};
	reset_process();
	r = take_identity(program);
	if (r < 0)
		return (struct report){STAGE_IDENTITY, -r};
	if (chdir(program->directory) < 0) /* as the user: it may not be allowed there */
		return (struct report){STAGE_DIRECTORY, errno};
	environ = (char **)program->environment; /* execvp(3) looks in this PATH, execvpe(3) in the keeper's */
	execvp(program->argv[0], program->argv);
	return (struct report){STAGE_EXEC, errno};
}

/* --- the keeper --- */

static void run_child(const struct console_program *program, int slave, int report_fd)
{
	struct report report = become(program, slave);

	(void)!write(report_fd, &report, sizeof(report)); /* a keeper that is gone needs no report */
	_exit(127);
}

pid_t program_spawn(const struct console_program *program, int slave, int flags, int *pidfd, int *report)
{
	cleanup_close int reader = -1, writer = -1;
	int ends[2], fd;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	reader = ends[0];
	writer = ends[1];
	pid = (pid_t)syscall(SYS_clone, (unsigned long)flags | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(program, slave, writer);
	fd = child_open_pidfd(pid);
	if (fd < 0)
		return fd;
	*pidfd = fd;
	*report = move_fd(&reader);
	return pid;
}

int program_result(const struct console_program *program, int fd, struct error *error)
{
	struct report report;

	if (read(fd, &report, sizeof(report)) != sizeof(report))
		return 0; /* closed by exec (or by a death before it: that is an exit) */
	switch ((enum stage)report.stage) {
	case STAGE_IDENTITY:
		return error_set(error, -report.error, "user \"%s\": %s", program->user, strerror(report.error));
	case STAGE_DIRECTORY:
		return error_set(error, -report.error, "directory \"%s\": %s", program->directory,
				 strerror(report.error));
	case STAGE_EXEC:
		return error_set(error, -report.error, "exec \"%s\": %s", program->argv[0], strerror(report.error));
	case STAGE_TERMINAL:
		break;
	}
	return error_set(error, -report.error, "terminal: %s", strerror(report.error));
}

/*
 * The session of the process whose /proc directory this is; 0 for a zombie, or if it is gone. A process whose first
 * thread has ended looks like a zombie, but for its number of threads.
 */
static pid_t session_of(int directory)
{
	cleanup_close int fd = openat(directory, "stat", O_RDONLY | O_CLOEXEC);
	char text[512], state;
	const char *rest;
	ssize_t length;
	int session;
	long threads;

	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	rest = strrchr(text, ')'); /* the name before it may hold anything, and is short */
	if (!rest || sscanf(rest, ") %c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state,
			    &session, &threads) != 3)
		return 0;
	return (state == 'Z' || state == 'X') && threads < 2 ? 0 : session;
}

int program_signal_session(pid_t session, const int *signals)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (proc && (entry = readdir(proc))) {
		cleanup_close int process = -1;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		process = openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process < 0 || session_of(process) != session)
			continue;
		found++;
		for (const int *number = signals; *number; number++)
			pidfd_send_signal(process, *number, NULL, 0);
	}
	if (proc)
		closedir(proc);
	return found;
}
