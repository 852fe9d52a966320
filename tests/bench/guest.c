// SPDX-License-Identifier: Apache-2.0
/* A container with nothing between its console and this process but what liblxc has there; see container.c. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <asm/termbits.h> /* struct termios as the kernel has it; termios.h cannot be included as well */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A PTY that passes bytes as they are. liblxc would have \n become \r\n, as the guest's terminal has it already, hence
 * the lock (CAP_SYS_ADMIN).
 */
static int open_terminal(int *slave, char name[static 32])
{
	const struct winsize size = {.ws_row = 24, .ws_col = 80};
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), number, unlock = 0;
	struct termios raw = {.c_cflag = CS8 | CREAD | B38400, .c_cc[VMIN] = 1}, lock;

	memset(&lock, 0xff, sizeof(lock));
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		err(1, "/dev/ptmx");
	snprintf(name, 32, "/dev/pts/%d", number);
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0 || ioctl(*slave, TCSETS, &raw) < 0 || ioctl(*slave, TIOCSWINSZ, &size) < 0)
		err(1, "%s", name);
	if (ioctl(*slave, TIOCSLCKTRMIOS, &lock) < 0)
		err(1, "cannot lock the settings of %s", name);
	return master;
}

/* Runs `program` with `last` as one more argument. It talks to us on its standard input and output. */
static void spawn(struct guest *guest, char *const *program, char *last)
{
	size_t count = 0;
	int ends[2];

	while (program[count])
		count++;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		err(1, "socketpair");
	guest->pid = fork();
	if (guest->pid < 0)
		err(1, "fork");
	if (guest->pid == 0) {
		cleanup_free char **argv = calloc(count + 2, sizeof(*argv));

		if (!argv || dup2(ends[1], STDIN_FILENO) < 0 || dup2(ends[1], STDOUT_FILENO) < 0)
			err(1, NULL);
		memcpy(argv, program, count * sizeof(*argv));
		argv[count] = last;
		execv(argv[0], argv);
		err(1, "%s", argv[0]);
	}
	guest->fd = ends[0];
	close(ends[1]);
}

static int64_t take_report(struct guest *guest)
{
	int64_t took;

	if (recv(guest->fd, &took, sizeof(took), MSG_WAITALL) != sizeof(took))
		errx(1, "no container");
	return took;
}

int guest_start(struct guest *guest, char *const *program)
{
	cleanup_close int slave = -1; /* without any, a read of the master would fail until liblxc has it */
	char name[32];
	int master = open_terminal(&slave, name);

	spawn(guest, program, name);
	guest->start_ns = take_report(guest);
	return master;
}

void guest_stop(struct guest *guest)
{
	int status = 0;

	shutdown(guest->fd, SHUT_WR);
	guest->stop_ns = take_report(guest);
	if (waitpid(guest->pid, &status, 0) < 0 || status != 0)
		errx(1, "the end of a container: status %#x", (unsigned)status);
	close_fd(&guest->fd);
	guest->pid = 0;
}
