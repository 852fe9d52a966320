// SPDX-License-Identifier: Apache-2.0
/*
 * Where the body of an answer takes a log's bytes from, with their times and boots: from a copy, which does not change
 * however slowly the answer is read; or from the ring of a console that is followed, where what is not read soon enough
 * is overwritten.
 */
#pragma once

#include "api/log_range.h"
#include "util/buffer.h"

struct log_source {
	uint64_t offset, end;    /* of the next byte, and behind the last; UINT64_MAX: not known yet */
	const struct ring *ring; /* NULL: a copy */
	char *bytes;             /* the copy's, from `begin` on */
	uint64_t begin;
	struct buffer marks; /* the copy's times: struct log_mark */
	size_t mark;         /* the one that `offset` has come to */
	struct ring_boot boots[64];
	size_t boot_count;
};

/*
 * Copies a range of the ring, in one go. `marks`: with the times and boots. -ENOMEM. To be finished in any case; what
 * is zeroed needs no more.
 */
int log_source_copy(struct log_source *source, const struct ring *ring, const struct log_range *range, bool marks);

/* Follows the ring from `offset` on. The owner sets `end` when it knows, and takes `ring` away before that goes. */
void log_source_follow(struct log_source *source, const struct ring *ring, uint64_t offset);

void log_source_finish(struct log_source *source);

/* What a copy holds, in bytes. */
size_t log_source_size(const struct log_source *source);

/*
 * Takes up to `size` bytes; `offset` is behind them then. Bytes that are gone are counted in `*lost`. Returns how many;
 * 0: there are no more, or not yet.
 */
size_t log_source_read(struct log_source *source, char *data, size_t size, uint64_t *lost);

/*
 * When the byte at `offset` was written (nanoseconds since 1970; 0: not known) and the offset behind it up to which
 * that goes. Of a copy the offset must not lie before that of the last call.
 */
int64_t log_source_time(struct log_source *source, uint64_t offset, uint64_t *until);

/* The first boot with a number larger than `number`; NULL: there is none (yet). Valid until the next call. */
const struct ring_boot *log_source_boot(struct log_source *source, uint32_t number);
