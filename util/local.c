// SPDX-License-Identifier: Apache-2.0
#include "util/local.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

int local_open(int directory, const char *name)
{
	int file = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return file < 0 ? -errno : file;
}

int local_connect(int file)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return move_fd(&fd);
}
