// SPDX-License-Identifier: Apache-2.0
/*
 * The console's log: an append-only run of bytes with absolute offsets, of which a file holds the last `capacity`. One
 * process writes (the keeper); any number read, without locks, through read-only maps, and cannot disturb the writer.
 *
 * The file is preallocated and never truncated while it may be mapped (that would be SIGBUS for readers); a ring of
 * another size is a new file, renamed over the old. Layout: a header page, a table of (offset, time) marks, then
 * `capacity` bytes.
 *
 * Writing: reserve (raise `reserved`), copy, commit (raise `head`, release). Reading: take `head` (acquire), copy, then
 * look at `reserved` again: what lies more than `capacity` behind it may have been overwritten during the copy and
 * counts as lost. A read from the PTY is destructive, so before it the writer notes in the file what is in flight: if
 * it is killed inside read(2), its successor finds the bytes and commits them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RING_CAPACITY_MIN (UINT64_C(64) * 1024)
#define RING_CAPACITY_MAX (UINT64_C(64) * 1024 * 1024)
#define RING_CAPACITY_DEFAULT (UINT64_C(1024) * 1024)

struct ring_header; /* the file's first page; private to ring.c */

struct ring {
	struct ring_header *header; /* NULL: not open */
	unsigned char *area;        /* `capacity` bytes */
	uint64_t capacity;
	size_t map_size;
};

/* A boot: where in the log it began, and when (nanoseconds since 1970). */
struct ring_boot {
	uint32_t number; /* from 1; goes on over restarts, reboots and daemons */
	uint64_t offset;
	int64_t time;
};

/*
 * Makes a ring file `name` in the directory `directory_fd`: preallocated under another name, mode 0600, then renamed,
 * so that a half-made one is never seen. `capacity` must be a power of two within RING_CAPACITY_MIN..MAX. Blocking
 * (disk). -EINVAL, -ENOSPC, or what the file system says.
 */
int ring_create(int directory_fd, const char *name, uint64_t capacity);

/*
 * Makes the ring file another size: a new file, renamed over the old, with the same offsets, boots and marks, and as
 * much of the log's end as fits. There must be no writer; readers of the old file keep it. Blocking. Errors as above,
 * and -ENOENT, -EBADMSG: then nothing has changed.
 */
int ring_resize(int directory_fd, const char *name, uint64_t capacity);

/*
 * What a power cut has left of the ring file, if the machine was started anew since it was last written to: what is not
 * as it was written is replaced by a notice and zeros, `*lost` bytes in all; up to a 256th of the oldest is dropped.
 * There must be no writer. Blocking: reads all of the file then. Errors as of ring_open(), and -ENOENT.
 */
int ring_mend(int directory_fd, const char *name, uint64_t *lost);

/*
 * Maps the ring in `fd` for reading or for writing; `fd` is *not* consumed and may be closed afterwards. Everything the
 * header says is checked against the file's size. -EBADMSG: not a ring, or one of another version.
 */
int ring_open(struct ring *ring, int fd, bool writable);

/* Unmaps. A zeroed or already closed ring is allowed. */
void ring_close(struct ring *ring);

/* --- the writer (one at a time) --- */

/*
 * Finishes what a killed writer left: bytes that it had read but not committed are committed. To be called once after
 * opening for writing, by who is to append. Returns the number of bytes recovered.
 */
uint64_t ring_recover(struct ring *ring);

/* Appends `length` bytes (any number; of more than `capacity` the last remain). */
void ring_append(struct ring *ring, const void *data, size_t length);

/*
 * Reads what is waiting in `fd` (a PTY master, FIFO or tty that poll(2) has reported readable), at most `max` bytes,
 * straight into the ring, safely against SIGKILL at any moment. Returns the bytes read; 0 at end of file; -EAGAIN if
 * nothing was waiting, `max` is 0 or a signal came first; -EIO from a PTY master whose slave side is closed.
 */
ssize_t ring_append_from(struct ring *ring, int fd, size_t max);

/* Empties the log: it begins at the present head from now on. Takes nothing from a cursor that has not got there yet.
 */
void ring_clear(struct ring *ring);

/* Notes that a new boot begins, or has begun, at `offset`: the head, or a little before it. */
void ring_begin_boot(struct ring *ring, uint64_t offset);

/* --- readers --- */

/* The offset behind the last byte written. */
uint64_t ring_head(const struct ring *ring);

/* Where the log begins: the later of the last clear and the oldest byte that is still there. */
uint64_t ring_tail(const struct ring *ring);

/*
 * Copies up to `size` bytes from `*offset` on into `data` and advances `*offset`. Bytes that have been overwritten are
 * skipped and counted in `*lost` (0 otherwise). Returns the bytes copied; 0: nothing newer yet.
 */
size_t ring_read(const struct ring *ring, uint64_t *offset, void *data, size_t size, uint64_t *lost);

/* When the ring was last written to (nanoseconds since 1970, about 10 ms exact); 0 = never. */
int64_t ring_written_at(const struct ring *ring);

/*
 * When the byte at `offset` was written, nanoseconds since 1970; 0: not known. `*until` (may be NULL) is the offset up
 * to which that is the best answer. Exact to 10 ms for what was written last, to a thousandth of the ring's bytes for
 * the rest.
 */
int64_t ring_time_at(const struct ring *ring, uint64_t offset, uint64_t *until);

/* The offset of the first byte written at `time` or later, as exactly; the head if there is none. */
uint64_t ring_offset_at(const struct ring *ring, int64_t time);

/* The latest boots that the header still knows (64), oldest first, at most `size`. Returns how many. */
size_t ring_boots(const struct ring *ring, struct ring_boot *boots, size_t size);
