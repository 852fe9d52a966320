// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/disk.h"
#include "util/cleanup.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".qcow2"

/* The begin of a qcow2 file (qemu's docs/interop/qcow2.txt), big-endian. */
struct qcow2_header {
	uint32_t magic, version;
	uint64_t backing_offset;
	uint8_t between[56];
	uint64_t incompatible; /* features; from version 3 on */
};

#define QCOW2_MAGIC 0x514649fb
#define QCOW2_DATA_FILE 4 /* feature: the data are in another file */

static enum disk_format format_of(const struct qcow2_header *header, ssize_t length)
{
	if (length < (ssize_t)sizeof(*header) || be32toh(header->magic) != QCOW2_MAGIC)
		return DISK_RAW;
	if (header->backing_offset)
		return DISK_QCOW2_BACKED;
	if (be32toh(header->version) >= 3 && be64toh(header->incompatible) & QCOW2_DATA_FILE)
		return DISK_QCOW2_BACKED;
	return DISK_QCOW2;
}

static bool called_qcow2(const char *path)
{
	size_t length = strlen(path), suffix = strlen(SUFFIX);

	return length > suffix && strcmp(path + length - suffix, SUFFIX) == 0;
}

int disk_examine(const char *path, enum disk_format *format, bool *block, struct error *error)
{
	cleanup_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct qcow2_header header;
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return error_set(error, -EINVAL, "%s: a virtual machine's disk is a file or a block device", path);
	*block = S_ISBLK(status.st_mode);
	*format = format_of(&header, pread(fd, &header, sizeof(header), 0));
	if (*format == DISK_QCOW2_BACKED && !called_qcow2(path))
		return error_set(error, -EINVAL,
				 "%s: its header names other files; if that is not the work of a guest, give it a name "
				 "that ends with " SUFFIX,
				 path);
	return 0;
}
