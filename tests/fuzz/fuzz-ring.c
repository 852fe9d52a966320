// SPDX-License-Identifier: Apache-2.0
/*
 * A hostile ring file. The input is a run of records of 10 bytes: what to do, where, and a 64-bit value. They change
 * words of a valid header, before the file is opened and between the reads of its reader. All bytes of the area are the
 * same, so a reader that leaves it is seen.
 */
#include "pty/ring.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAPACITY RING_CAPACITY_MIN
#define AREA_OFFSET 65536
#define RECORD 10
#define BYTE 'A'

enum action {
	SET,          /* the word becomes the value */
	ADD,          /* the value's low byte, signed, is added to it */
	READ,         /* `value` bytes */
	SEEK_TO_READ, /* from the offset `value` */
	ACTIONS,
};

struct fuzz {
	int fd;
	unsigned char *file;               /* mapped */
	unsigned char header[AREA_OFFSET]; /* as it was when it was valid */
	struct ring reader;
	uint64_t offset;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* A ring file that has been used: wrapped, cleared, booted. */
static int make_file(void)
{
	char directory[] = "/tmp/fuzz-ring-XXXXXX";
	char data[CAPACITY];
	struct ring ring;
	int directory_fd, fd;

	require(mkdtemp(directory));
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(ring_create(directory_fd, "ring", CAPACITY) == 0);
	fd = openat(directory_fd, "ring", O_RDWR | O_CLOEXEC);
	unlinkat(directory_fd, "ring", 0);
	close(directory_fd);
	rmdir(directory);

	memset(data, BYTE, sizeof(data));
	require(ring_open(&ring, fd, true) == 0);
	ring_begin_boot(&ring, ring_head(&ring));
	ring_append(&ring, data, CAPACITY);
	ring_clear(&ring);
	ring_begin_boot(&ring, ring_head(&ring));
	ring_append(&ring, data, 1000);
	ring_close(&ring);
	return fd;
}

static struct fuzz *create(void)
{
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));

	require(fuzz);
	fuzz->fd = make_file();
	fuzz->file = mmap(NULL, AREA_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, fuzz->fd, 0);
	require(fuzz->file != MAP_FAILED);
	memcpy(fuzz->header, fuzz->file, sizeof(fuzz->header));
	return fuzz;
}

/* Reads into a buffer of just that size, and checks what came. */
static void read_some(struct fuzz *fuzz, size_t size)
{
	unsigned char *data = malloc(size);
	uint64_t before = fuzz->offset, lost;
	size_t length = ring_read(&fuzz->reader, &fuzz->offset, data, size, &lost);

	require(length <= size && length <= CAPACITY);
	require(fuzz->offset - before == lost + length);
	for (size_t i = 0; i < length; i++)
		require(data[i] == BYTE);
	free(data);
}

static void read_boots(const struct fuzz *fuzz, size_t size)
{
	struct ring_boot *boots = malloc(size * sizeof(*boots));

	require(ring_boots(&fuzz->reader, boots, size) <= size);
	free(boots);
}

/* A writer that finds the file as it is now must be able to use it, or refuse it. */
static void write_some(const struct fuzz *fuzz)
{
	char data[3000];
	struct ring ring;

	if (ring_open(&ring, fuzz->fd, true) < 0)
		return;
	ring_recover(&ring);
	ring_begin_boot(&ring, ring_head(&ring));
	ring_append(&ring, memset(data, BYTE, sizeof(data)), sizeof(data));
	ring_close(&ring);
}

static bool take(struct fuzz *fuzz, enum action action, unsigned place, uint64_t value)
{
	uint64_t word;

	if (action == SET || action == ADD) {
		memcpy(&word, fuzz->file + 8 * place, sizeof(word));
		word = action == SET ? value : word + (uint64_t)(int8_t)value;
		memcpy(fuzz->file + 8 * place, &word, sizeof(word));
		return true;
	}
	if (!fuzz->reader.header && ring_open(&fuzz->reader, fuzz->fd, false) < 0)
		return false;
	if (action == SEEK_TO_READ)
		fuzz->offset = value;
	read_some(fuzz, value % (2 * CAPACITY));
	read_boots(fuzz, value % 100);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz *fuzz;
	uint64_t value;

	if (!fuzz)
		fuzz = create();
	memcpy(fuzz->file, fuzz->header, sizeof(fuzz->header));
	fuzz->offset = 0;
	for (; size >= RECORD; data += RECORD, size -= RECORD) {
		memcpy(&value, data + 2, sizeof(value));
		if (!take(fuzz, data[0] % ACTIONS, data[1], value))
			break;
	}
	write_some(fuzz);
	ring_close(&fuzz->reader);
	return 0;
}
