// SPDX-License-Identifier: Apache-2.0
#include "daemon/lock.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TRIES 200
#define PAUSE 10 /* ms */

/* Who says in the file that it has the lock; 0: nobody. */
static pid_t read_holder(int fd)
{
	char pid[16] = "";

	return pread(fd, pid, sizeof(pid) - 1, 0) < 0 ? 0 : (pid_t)strtol(pid, NULL, 10);
}

/*
 * An open file description's lock: unlike fcntl's it is not lost when a library opens and closes the file. But what a
 * daemon forks has it too until it executes its program: where the daemon has been killed meanwhile, that is waited
 * for.
 */
static int take(int fd, pid_t *holder)
{
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK)
			return -errno;
		*holder = read_holder(fd);
		if (i == TRIES || kill(*holder, 0) == 0 || errno != ESRCH)
			return -EWOULDBLOCK;
		poll(NULL, 0, PAUSE);
	}
	return 0;
}

int lock_directory(int directory_fd, const char *directory, struct error *error)
{
	cleanup_close int fd = openat(directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	pid_t holder;
	int r;

	if (fd < 0)
		return error_set(error, -errno, "%s/lock: %s", directory, strerror(errno));
	r = take(fd, &holder);
	if (r == -EWOULDBLOCK)
		return error_set(error, -EBUSY, "%s is served by another consoled, pid %ld", directory, (long)holder);
	if (r < 0)
		return error_set(error, r, "%s/lock: %s", directory, strerror(-r));
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return error_set(error, -errno, "%s/lock: %s", directory, strerror(errno));
	return move_fd(&fd);
}
