// SPDX-License-Identifier: Apache-2.0
#include "pty/target_file.h"
#include "pty/wire.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const char name[] = "target";
static const char temporary[] = "target.new";

static int create(int directory, const void *data, size_t length)
{
	cleanup_close int fd = -1;

	unlinkat(directory, temporary, 0); /* of a daemon that was killed here */
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = ENOSPC; /* of a write that is short */
	return write(fd, data, length) == (ssize_t)length ? 0 : -errno;
}

int target_file_write(int directory, const void *data, size_t length)
{
	int r = create(directory, data, length);

	if (r == 0 && renameat(directory, temporary, directory, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(directory, temporary, 0);
	return r;
}

int target_file_read(int directory, void **result, size_t *length)
{
	cleanup_close int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_free void *data = NULL;
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_size > WIRE_TAIL_MAX)
		return -EBADMSG;
	data = malloc((size_t)status.st_size + 1); /* malloc(0) may be NULL */
	if (!data)
		return -ENOMEM;
	if (read(fd, data, (size_t)status.st_size) != status.st_size)
		return -EBADMSG;
	*result = move_pointer(data);
	*length = (size_t)status.st_size;
	return 0;
}

void target_file_remove(int directory)
{
	unlinkat(directory, name, 0);
}
