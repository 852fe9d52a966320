// SPDX-License-Identifier: Apache-2.0
/*
 * The first bytes of a disk, which its guest may have written. One that has QEMU open other files is refused, unless
 * its name says that it is meant.
 */
#include "pty/targets/disk.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

struct disk {
	char plain[64], named[64];
	int fd;
};

static struct disk *make_disk(void)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	require(disk);
	snprintf(disk->plain, sizeof(disk->plain), "%s/disk", fuzz_directory());
	snprintf(disk->named, sizeof(disk->named), "%s/disk.qcow2", fuzz_directory());
	disk->fd = open(disk->plain, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	require(disk->fd >= 0 && link(disk->plain, disk->named) == 0);
	return disk;
}

static uint64_t big_endian(const uint8_t *data, size_t count)
{
	uint64_t value = 0;

	while (count-- > 0)
		value = value << 8 | *data++;
	return value;
}

/* Whether QEMU would look for others, with the places of qemu's docs/interop/qcow2.txt. */
static bool names_others(const uint8_t *data)
{
	return big_endian(data + 8, 8) > 0 || (big_endian(data + 4, 4) >= 3 && big_endian(data + 72, 8) & 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct disk *disk;
	enum disk_format plain, named;
	struct error error = {0};
	bool block, qcow2;
	int r;

	if (!disk)
		disk = make_disk();
	require(ftruncate(disk->fd, 0) == 0 && pwrite(disk->fd, data, size, 0) == (ssize_t)size);
	qcow2 = size >= 80 && memcmp(data, "QFI\xfb", 4) == 0;
	r = disk_examine(disk->plain, &plain, &block, &error);
	require((r < 0) == (error.text[0] != '\0') && (r < 0) == (qcow2 && names_others(data)));
	require(r < 0 || plain == (qcow2 ? DISK_QCOW2 : DISK_RAW));
	require(disk_examine(disk->named, &named, &block, &error) == 0 && !block);
	require(named == (r < 0 ? DISK_QCOW2_BACKED : plain));
	return 0;
}
