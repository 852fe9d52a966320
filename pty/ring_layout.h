// SPDX-License-Identifier: Apache-2.0
/* The ring's file: ring.c and ring_time.c share this, nobody else. */
#pragma once

#include "pty/ring.h"

#include <stdatomic.h>

#define RING_MAGIC "consring"
#define RING_VERSION 2
#define RING_BOOTS 64
#define RING_MARKS 3840
#define RING_FINE 2560 /* of them for the latest; the rest are as many bytes apart as it takes to span the ring */
#define RING_COARSE (RING_MARKS - RING_FINE)
#define RING_POISON 64
#define RING_SUMS 256
#define RING_MACHINE_BOOT 40
/* A multiple of every page size Linux has, so that the area can be mapped alone. */
#define RING_AREA_OFFSET (64 * 1024)

/* What never changes in a file. */
struct ring_identity {
	char magic[8];
	uint32_t version;
	uint32_t marks;
	uint64_t capacity;
	unsigned char poison[RING_POISON]; /* see ring_append_from() */
};

struct ring_boot_slot {
	_Atomic uint32_t number; /* 0 while the slot is being written */
	_Atomic uint64_t offset;
	_Atomic int64_t time;
};

/* The bytes from `offset` on were written at `time`, up to MARK_INTERVAL later or the next mark. */
struct ring_mark {
	_Atomic uint64_t offset;
	_Atomic int64_t time;
};

/* The file as it is on disk, up to the area. Files outlive the program: a change here is a new RING_VERSION. */
struct ring_header {
	struct ring_identity identity;
	_Atomic uint64_t reserved; /* the area holds nothing older than this - capacity; never falls */
	_Atomic uint64_t head;
	_Atomic uint64_t base; /* the head at the last clear */
	_Atomic uint64_t inflight_offset;
	_Atomic uint64_t inflight_length; /* 0: nothing is in flight */
	_Atomic int64_t written_at;
	_Atomic uint64_t fine_made;  /* ever; the last RING_FINE of them are in `fine`, mark n at n % RING_FINE */
	_Atomic uint32_t boots_made; /* likewise: boot n is at n % RING_BOOTS, if the slot says so */
	struct ring_boot_slot boots[RING_BOOTS];
	_Atomic uint64_t floor;       /* nor anything older than this: it was not copied from a smaller ring */
	_Atomic uint64_t coarse_made; /* as fine_made */
	/* For ring_power.c; zeros in the file of a program that knows nothing of this, which is no other version. */
	char machine_boot[RING_MACHINE_BOOT]; /* in which it was last written to: the kernel's boot_id */
	_Atomic uint64_t sums[RING_SUMS];     /* of each 256th of the area, as far as it has been written */
	_Alignas(4096) struct ring_mark fine[RING_FINE];
	struct ring_mark coarse[RING_COARSE];
};

_Static_assert(sizeof(struct ring_header) == RING_AREA_OFFSET, "the header fills the file up to the area");
_Static_assert(offsetof(struct ring_header, fine) == 4096, "all but the marks is in the first page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics work between processes and in read-only maps");

#define load(field) atomic_load_explicit(field, memory_order_acquire)
#define store(field, value) atomic_store_explicit(field, value, memory_order_release)

/* Notes that bytes are written at `offset` now. For the writer. */
void ring_note_time(const struct ring *ring, uint64_t offset);

/* The offset of the oldest byte that is still in the area. */
uint64_t ring_oldest(const struct ring *ring);

/* Adds what is being committed to the sums. For the writer. */
void ring_sum(const struct ring *ring, uint64_t from, uint64_t to);

/* Makes those anew of the block at `from` and all behind it, as far as the head. For the writer. */
void ring_sum_again(const struct ring *ring, uint64_t from);

/* Notes under which start of the machine it is written from now on, with sums that are right. For the writer. */
void ring_note_machine(const struct ring *ring);
