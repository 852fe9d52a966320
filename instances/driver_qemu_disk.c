// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_qemu.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR UINT64_C(512)

int disk_make(const char *path, uint64_t size, struct error *error)
{
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (size > INT64_MAX - SECTOR)
		return error_set(error, -EFBIG, "%s: %s", path, strerror(EFBIG));
	size = (size + SECTOR - 1) / SECTOR * SECTOR;
	if (size < (uint64_t)status.st_size)
		return error_set(error, -EINVAL, "the disk has %" PRIu64 " bytes already, and is not made smaller",
				 (uint64_t)status.st_size);
	if (size > (uint64_t)status.st_size && ftruncate(fd, (off_t)size) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	return 0;
}
