// SPDX-License-Identifier: Apache-2.0
#include "daemon/lock.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int lock_directory(int directory_fd, const char *directory, struct error *error)
{
	cleanup_close int fd = openat(directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char pid[16] = "";

	if (fd < 0)
		return error_set(error, -errno, "%s/lock: %s", directory, strerror(errno));
	/* An open file description's lock: unlike fcntl's it is not lost when a library opens and closes the file. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set(error, -errno, "%s/lock: %s", directory, strerror(errno));
		if (read(fd, pid, sizeof(pid) - 1) < 0)
			pid[0] = '\0';
		return error_set(error, -EBUSY, "%s is served by another consoled, pid %ld", directory,
				 strtol(pid, NULL, 10));
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return error_set(error, -errno, "%s/lock: %s", directory, strerror(errno));
	return move_fd(&fd);
}
