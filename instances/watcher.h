// SPDX-License-Identifier: Apache-2.0
/*
 * Waiting until a console prints a line that matches a pattern. All who wait at one console share a watcher: it reads
 * the log once, makes text of it once, and tries them all with one pass over each line. What it has no time for is left
 * for the loop's next turn; it never holds the instance back, so what is printed faster than it can be looked at is
 * lost to it, and counted.
 *
 * A line that has no end yet is tried whenever it has grown.
 */
#pragma once

#include "render/pattern.h"
#include "util/error.h"

#include <stddef.h>
#include <stdint.h>

struct instance;
struct waiter;

enum waiter_outcome {
	WAITER_MATCHED,
	WAITER_TIMED_OUT,
	WAITER_ENDED, /* the instance; all its output has been looked at */
	WAITER_GONE,  /* the instance has been deleted, or the daemon ends */
	WAITER_LOST,  /* there was no memory to look at a line */
};

struct waiter_news {
	enum waiter_outcome outcome;
	uint64_t lost; /* bytes that could not be looked at */

	/* The rest only of a match. All valid during the call. */
	const char *line;
	size_t length;
	uint64_t offset; /* of the line's first byte */
	uint64_t end;    /* behind what was looked at */
	int64_t time;    /* of the line's first byte; nanoseconds since 1970; 0: not known */
	const struct pattern_group *groups;
	size_t group_count;
};

struct waiter_config {
	struct pattern *pattern; /* consumed if the waiter is made */
	/*
	 * From where on output counts, or from where the log begins if that is later; not behind its end. NULL: what is
	 * printed from now on, and all of the line that has no end yet.
	 */
	const uint64_t *since;
	unsigned int timeout_ms; /* what was printed before now is looked at, however long it takes */
	/* Called once, from the loop; the waiter is gone then. */
	void (*done)(void *user, const struct waiter_news *news);
	void *user;
};

/*
 * -EINVAL: the instance does not run, and nothing is to be looked at; -EAGAIN: too many wait; both in words; -ENOMEM.
 */
int waiter_create(struct waiter **waiter, struct instance *instance, const struct waiter_config *config,
		  struct error *error);

/* Stops waiting; `done` will not be called. */
void waiter_cancel(struct waiter *waiter);
