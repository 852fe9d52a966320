// SPDX-License-Identifier: Apache-2.0
/* Which of a log's bytes a query asks for. */
#pragma once

#include "api/log_query.h"
#include "pty/ring.h"

struct log_range {
	uint64_t from, to; /* offsets of the ring */
};

/*
 * The range as it is at `now`. What is not there any more, or not yet, is left out; of a query that follows, `to` is
 * the head whatever its boot. Reads of the log what it takes to count lines. -ENOENT: there is no such boot.
 */
int log_range_find(const struct log_query *query, const struct ring *ring, int64_t now, struct log_range *range,
		   struct error *error);
