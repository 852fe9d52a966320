// SPDX-License-Identifier: Apache-2.0
/*
 * The file is mapped with its data area twice in a row, so that any run of up to `capacity` bytes is one piece of
 * memory: no copy, and no read(2), ever has to be cut at the end of the area.
 *
 * A writer may be killed between any two instructions. Its stores up to there are in the page cache in program order;
 * acquire and release keep the compiler to that order, as well as the readers' processors. (A crash of the whole host
 * is another matter: what reached the disk by then is up to the kernel. See ring_power.c.)
 *
 * Whoever can write the file can write nonsense into it at any time. Nobody here follows a number from the file further
 * than a mask with the capacity that was checked, once, against the file's size.
 */
#include "pty/ring.h"
#include "pty/ring_layout.h"
#include "util/cleanup.h"
#include "util/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>
#include <sys/stat.h>

/* One read takes no more, whatever waits: it costs the readers as much of the log's old end, even if it then fails. */
#define READ_MAX RING_CAPACITY_MIN

/* Bytes that are nowhere in UTF-8, in an order of this file's own: no text and no run of one byte looks like it. */
static int make_poison(unsigned char poison[static RING_POISON])
{
	static const unsigned char bytes[] = {0xc0, 0xc1, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9,
					      0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};

	if (getrandom(poison, RING_POISON, 0) != RING_POISON)
		return -errno;
	for (size_t i = 0; i < RING_POISON; i++)
		poison[i] = bytes[poison[i] % sizeof(bytes)];
	return 0;
}

/* Makes the empty file `fd` a ring: what is not written here begins as zeros. */
static int fill(int fd, uint64_t capacity)
{
	struct ring_identity identity = {
		.magic = {RING_MAGIC},
		.version = RING_VERSION,
		.marks = RING_MARKS,
		.capacity = capacity,
	};
	ssize_t written;
	int r;

	r = make_poison(identity.poison);
	if (r < 0)
		return r;
	do
		r = posix_fallocate(fd, 0,
				    (off_t)(RING_AREA_OFFSET + capacity)); /* returns the error; errno is not set */
	while (r == EINTR);
	if (r != 0)
		return -r;
	written = pwrite(fd, &identity, sizeof(identity), 0);
	if (written < 0)
		return -errno;
	return written == sizeof(identity) ? 0 : -EIO;
}

static bool capacity_valid(uint64_t capacity)
{
	return capacity >= RING_CAPACITY_MIN && capacity <= RING_CAPACITY_MAX && powerof2(capacity);
}

/* Makes the file under its temporary name, open for writing. Returns the fd. */
static int create_temporary(int directory_fd, const char *temporary, uint64_t capacity)
{
	cleanup_close int fd = -1;
	int r;

	if (!capacity_valid(capacity))
		return -EINVAL;
	unlinkat(directory_fd, temporary, 0); /* of somebody who was killed here */
	fd = openat(directory_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fill(fd, capacity);
	if (r < 0)
		unlinkat(directory_fd, temporary, 0);
	return r < 0 ? r : move_fd(&fd);
}

static int rename_temporary(int directory_fd, const char *temporary, const char *name)
{
	int r = renameat(directory_fd, temporary, directory_fd, name) < 0 ? -errno : 0;

	if (r < 0)
		unlinkat(directory_fd, temporary, 0);
	return r;
}

static int temporary_name(char temporary[static NAME_MAX + 1], const char *name)
{
	return snprintf(temporary, NAME_MAX + 1, "%s.new", name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

int ring_create(int directory_fd, const char *name, uint64_t capacity)
{
	char temporary[NAME_MAX + 1];
	cleanup_close int fd = -1;
	int r = temporary_name(temporary, name);

	if (r < 0)
		return r;
	fd = create_temporary(directory_fd, temporary, capacity);
	return fd < 0 ? fd : rename_temporary(directory_fd, temporary, name);
}

/* Reads the file's identity and checks it against the file's size. */
static int identify(int fd, struct ring_identity *identity)
{
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EBADMSG;
	got = pread(fd, identity, sizeof(*identity), 0);
	if (got < 0)
		return -errno;
	if (got != sizeof(*identity) || memcmp(identity->magic, RING_MAGIC, sizeof(identity->magic)) != 0)
		return -EBADMSG;
	if (identity->version != RING_VERSION || identity->marks != RING_MARKS || !capacity_valid(identity->capacity))
		return -EBADMSG;
	return (uint64_t)status.st_size == RING_AREA_OFFSET + identity->capacity ? 0 : -EBADMSG;
}

static int map(struct ring *ring, int fd, uint64_t capacity, bool writable)
{
	int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	size_t file_size = RING_AREA_OFFSET + capacity;
	size_t map_size = file_size + capacity;
	unsigned char *start;
	int r;

	start = mmap(NULL, map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return -errno;
	if (mmap(start, file_size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
	    mmap(start + file_size, capacity, protection, MAP_SHARED | MAP_FIXED, fd, RING_AREA_OFFSET) == MAP_FAILED) {
		r = -errno;
		munmap(start, map_size);
		return r;
	}
	*ring = (struct ring){
		.header = (struct ring_header *)start,
		.area = start + RING_AREA_OFFSET,
		.capacity = capacity,
		.map_size = map_size,
	};
	return 0;
}

/* A writer may be at work: what is loaded later may be newer, so the order is that in which they can only grow. */
static bool offsets_valid(const struct ring *ring, bool writable)
{
	uint64_t base = load(&ring->header->base);
	uint64_t head = load(&ring->header->head);
	uint64_t reserved = load(&ring->header->reserved);

	if (base > head || load(&ring->header->floor) > head || head > reserved || reserved > INT64_MAX)
		return false;
	return !writable || reserved - head <= ring->capacity;
}

int ring_open(struct ring *ring, int fd, bool writable)
{
	struct ring_identity identity;
	int r;

	*ring = (struct ring){0};
	r = identify(fd, &identity);
	if (r < 0)
		return r;
	r = map(ring, fd, identity.capacity, writable);
	if (r < 0)
		return r;
	if (!offsets_valid(ring, writable)) {
		ring_close(ring);
		return -EBADMSG;
	}
	return 0;
}

void ring_close(struct ring *ring)
{
	if (ring->header)
		munmap(ring->header, ring->map_size);
	*ring = (struct ring){0};
}

/* Where the byte at `offset` is; `capacity` bytes from there on are in the map. */
static unsigned char *at(const struct ring *ring, uint64_t offset)
{
	return ring->area + (offset & (ring->capacity - 1));
}

/*
 * Tells the readers that the `length` bytes behind the head are about to change, and so what was there a capacity
 * before. Never lowered again, even if fewer bytes are then committed: the old ones are gone.
 */
static void reserve(struct ring *ring, size_t length)
{
	uint64_t end = load(&ring->header->head) + length;

	if (end > load(&ring->header->reserved))
		store(&ring->header->reserved, end);
	atomic_thread_fence(memory_order_release); /* before any change to the area */
}

static void commit(struct ring *ring, size_t length)
{
	uint64_t head = load(&ring->header->head);

	ring_note_time(ring, head);
	ring_sum(ring, head, head + length);
	store(&ring->header->head, head + length);
}

void ring_append(struct ring *ring, const void *data, size_t length)
{
	const unsigned char *from = data;

	while (length > 0) {
		size_t part = MIN(length, ring->capacity);

		reserve(ring, part);
		memcpy(at(ring, load(&ring->header->head)), from, part);
		commit(ring, part);
		from += part;
		length -= part;
	}
}

static void poison(struct ring *ring, uint64_t offset, size_t length)
{
	unsigned char *to = at(ring, offset);

	for (; length >= RING_POISON; to += RING_POISON, length -= RING_POISON)
		memcpy(to, ring->header->identity.poison, RING_POISON);
	memcpy(to, ring->header->identity.poison, length);
}

static bool poisoned(const struct ring *ring, uint64_t offset, size_t length)
{
	const unsigned char *from = at(ring, offset);

	for (size_t i = 0; i < length; i++)
		if (from[i] != ring->header->identity.poison[i % RING_POISON])
			return false;
	return true;
}

/*
 * How much to read: no more than is waiting, so that the read gets exactly that. One byte if nothing seems to wait:
 * then read() is to tell the end of file or the error (a tty that is hung up does not even know FIONREAD), and should a
 * byte have come by now, it is still exactly that.
 */
static size_t read_length(int fd, size_t max)
{
	int waiting;

	if (ioctl(fd, FIONREAD, &waiting) < 0 || waiting < 1)
		waiting = 1;
	return MIN(MIN((size_t)waiting, max), READ_MAX);
}

/*
 * read() takes the bytes from the kernel for good, so a SIGKILL that lands in it (and is obeyed as it returns) must
 * leave them findable: they are in the area, behind the head. For a successor to know whether the read took place, the
 * place is first filled with poison, and offset and length are noted. Exactly `length` bytes are waiting and this is
 * their only reader, so it finds all of them or none.
 *
 * The note is valid while its length is not 0 and its offset is the head: the length is therefore stored last and
 * cleared first, and the commit alone makes it void, for the bytes must not be found twice.
 *
 * What remains: a read of bytes that equal the poison, all of them, is taken for one that did not happen. They would
 * have to be no text, and the writer killed within that microsecond. And if the terminal's output is flushed
 * (tcflush(3)) between FIONREAD and read(), the read is short, and a kill within that microsecond shows some poison.
 */
ssize_t ring_append_from(struct ring *ring, int fd, size_t max)
{
	struct ring_header *header = ring->header;
	uint64_t head = load(&header->head);
	size_t length = read_length(fd, max);
	ssize_t got;
	int error;

	if (length == 0) /* the caller may not take anything now */
		return -EAGAIN;
	reserve(ring, length);
	poison(ring, head, length);
	store(&header->inflight_offset, head);
	store(&header->inflight_length, length);
	got = read(fd, at(ring, head), length);
	error = errno;
	if (got > 0)
		commit(ring, (size_t)got);
	store(&header->inflight_length, 0);
	if (got >= 0)
		return got;
	return error == EINTR ? -EAGAIN : -error; /* interrupted means that nothing was taken: poll(2) again */
}

uint64_t ring_recover(struct ring *ring)
{
	struct ring_header *header = ring->header;
	uint64_t offset = load(&header->inflight_offset), length = load(&header->inflight_length);

	ring_note_machine(ring);
	if (length > READ_MAX || offset != load(&header->head) || poisoned(ring, offset, length))
		length = 0;
	if (length > 0)
		commit(ring, length);
	store(&header->inflight_length, 0);
	return length;
}

void ring_clear(struct ring *ring)
{
	store(&ring->header->base, load(&ring->header->head));
}

void ring_begin_boot(struct ring *ring, uint64_t offset)
{
	uint32_t number = load(&ring->header->boots_made) + 1;
	struct ring_boot_slot *slot = &ring->header->boots[number % RING_BOOTS];

	store(&slot->number, 0);
	atomic_thread_fence(memory_order_release);
	store(&slot->offset, offset);
	store(&slot->time, timestamp_now());
	store(&slot->number, number);
	store(&ring->header->boots_made, number);
}

uint64_t ring_head(const struct ring *ring)
{
	return load(&ring->header->head);
}

uint64_t ring_oldest(const struct ring *ring)
{
	uint64_t reserved = load(&ring->header->reserved);
	uint64_t floor = load(&ring->header->floor);

	return reserved > ring->capacity ? MAX(floor, reserved - ring->capacity) : floor;
}

uint64_t ring_tail(const struct ring *ring)
{
	uint64_t base = load(&ring->header->base);

	return MAX(base, ring_oldest(ring));
}

size_t ring_read(const struct ring *ring, uint64_t *offset, void *data, size_t size, uint64_t *lost)
{
	*lost = 0;
	for (;;) {
		uint64_t tail = ring_oldest(ring);
		uint64_t head = ring_head(ring); /* in this order the tail is not the later one */
		size_t length, gone;

		if (*offset < tail) {
			*lost += tail - *offset;
			*offset = tail;
		}
		if (*offset >= head || size == 0)
			return 0;
		length = MIN(MIN(head - *offset, ring->capacity), size);
		memcpy(data, at(ring, *offset), length);

		atomic_thread_fence(memory_order_acquire); /* the copy is done before we ask what it was worth */
		tail = ring_oldest(ring);
		gone = tail > *offset ? MIN(tail - *offset, length) : 0;
		*lost += gone;
		*offset += length;
		if (gone < length) {
			memmove(data, (char *)data + gone, length - gone);
			return length - gone;
		}
	}
}

/* Makes the empty `to` hold what `from` holds, as much of it as fits, at the same offsets. */
static void copy(struct ring *to, const struct ring *from)
{
	size_t fixed = offsetof(struct ring_header, reserved);
	uint64_t head = ring_head(from), offset = ring_oldest(from), lost;

	// NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): `to` has been opened
	memcpy((char *)to->header + fixed, (const char *)from->header + fixed, sizeof(struct ring_header) - fixed);
	store(&to->header->inflight_length, 0);
	store(&to->header->reserved, head); /* no writer: it was the head, but for a read that failed */
	if (head - offset > to->capacity)
		offset = head - to->capacity;
	store(&to->header->floor, offset);
	while (offset < head) {
		size_t length = MIN(head - offset, to->capacity - (offset & (to->capacity - 1)));

		ring_read(from, &offset, at(to, offset), length, &lost);
	}
	ring_sum_again(to, ring_oldest(to));
}

int ring_resize(int directory_fd, const char *name, uint64_t capacity)
{
	char temporary[NAME_MAX + 1];
	cleanup_close int old_fd = openat(directory_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC), fd = -1;
	struct ring old, new;
	int r = old_fd < 0 ? -errno : temporary_name(temporary, name);

	if (r == 0)
		r = ring_open(&old, old_fd, true);
	if (r < 0)
		return r;
	ring_recover(&old);
	fd = create_temporary(directory_fd, temporary, capacity);
	r = fd < 0 ? fd : ring_open(&new, fd, true);
	if (r == 0) {
		copy(&new, &old);
		ring_close(&new);
		r = rename_temporary(directory_fd, temporary, name);
	}
	ring_close(&old);
	return r;
}

int64_t ring_written_at(const struct ring *ring)
{
	return load(&ring->header->written_at);
}

size_t ring_boots(const struct ring *ring, struct ring_boot *boots, size_t size)
{
	uint32_t last = load(&ring->header->boots_made);
	size_t count = 0;

	for (uint32_t ago = (uint32_t)MIN(MIN(last, RING_BOOTS), size); ago-- > 0;) {
		struct ring_boot_slot *slot = &ring->header->boots[(last - ago) % RING_BOOTS];
		struct ring_boot boot = {.number = load(&slot->number)};

		boot.offset = load(&slot->offset);
		boot.time = load(&slot->time);
		/* The same number before and after, or the writer was there meanwhile. */
		if (boot.number == last - ago && load(&slot->number) == boot.number)
			boots[count++] = boot;
	}
	return count;
}
