// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/relay.h"
#include "pty/targets/child.h"
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>

/* What the process has open, and nothing else. */
enum relay_descriptor {
	RELAY_SLAVE,
	RELAY_TARGET,
	RELAY_OWNER,
	RELAY_SIGNALS,
	RELAY_DESCRIPTORS,
};

static void copy_size(int from, int to)
{
	struct winsize size;

	if (ioctl(from, TIOCGWINSZ, &size) == 0)
		ioctl(to, TIOCSWINSZ, &size); /* SIGWINCH only if it is another */
}

/* Takes over the descriptors, wherever they are; the process keeps no other. */
static bool keep_descriptors(const int *given)
{
	int moved[RELAY_DESCRIPTORS];

	for (int i = 0; i < RELAY_DESCRIPTORS; i++) {
		moved[i] = fcntl(given[i], F_DUPFD_CLOEXEC, RELAY_DESCRIPTORS);
		if (moved[i] < 0)
			return false;
	}
	for (int i = 0; i < RELAY_DESCRIPTORS; i++)
		dup2(moved[i], i);
	return close_range(RELAY_DESCRIPTORS, UINT_MAX, 0) == 0;
}

/*
 * Until the owner ends, or the hang-up: SIGHUP to the session's leader, us. A write blocks while the container does not
 * read its input; then a new size waits too.
 */
static void relay(void)
{
	struct pollfd set[] = {
		{.fd = RELAY_SLAVE, .events = POLLIN},
		{.fd = RELAY_SIGNALS, .events = POLLIN},
		{.fd = RELAY_OWNER, .events = POLLIN},
	};
	struct signalfd_siginfo signal;
	char data[4096];

	while (poll(set, 3, -1) > 0 && !set[2].revents) {
		ssize_t length = 0;

		if (set[1].revents && read(RELAY_SIGNALS, &signal, sizeof(signal)) > 0)
			copy_size(RELAY_SLAVE, RELAY_TARGET);
		if (set[0].revents)
			length = read(RELAY_SLAVE, data, sizeof(data));
		if (set[0].revents && length <= 0)
			return;
		for (ssize_t done = 0; done < length;) {
			ssize_t n = write(RELAY_TARGET, data + done, (size_t)(length - done));

			if (n < 0)
				return;
			done += n;
		}
	}
}

static void run(int slave, int target, int owner)
{
	int given[RELAY_DESCRIPTORS] = {[RELAY_SLAVE] = slave, [RELAY_TARGET] = target, [RELAY_OWNER] = owner};
	sigset_t signals;

	child_reset_signals();
	sigemptyset(&signals);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	given[RELAY_SIGNALS] = signalfd(-1, &signals, SFD_CLOEXEC);
	prctl(PR_SET_NAME, "console-input");
	if (given[RELAY_SIGNALS] < 0 || setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0 || !keep_descriptors(given))
		return;
	copy_size(RELAY_SLAVE, RELAY_TARGET); /* one that was set before there was a session to tell */
	relay();
}

int relay_start(int target, int owner)
{
	cleanup_close int master = -1, slave = -1;
	struct winsize size = {0};
	struct termios settings;
	pid_t pid;
	int r;

	ioctl(target, TIOCGWINSZ, &size);
	r = master = terminal_open(0, 0);
	if (r >= 0)
		r = slave = terminal_hold_slave(master);
	if (r < 0)
		return r;
	ioctl(master, TIOCSWINSZ, &size);
	if (tcgetattr(slave, &settings) < 0)
		return -errno;
	cfmakeraw(&settings);
	if (tcsetattr(slave, TCSANOW, &settings) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			run(slave, target, owner);
		_exit(pid < 0);
	}
	if (waitpid(pid, &r, 0) < 0 || r != 0)
		return -EAGAIN;
	return move_fd(&master);
}
