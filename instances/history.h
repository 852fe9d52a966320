// SPDX-License-Identifier: Apache-2.0
/*
 * What was done with the instances' consoles, by whom and when: kept in the store, the latest acts of each
 * (limits.history) instance. An act is queued and written a moment later, many in one transaction, so that nobody waits
 * for the disk; readers see it at once. A store that cannot be written to fails nobody: the acts wait, and when there
 * are too many, the oldest are but counted. Reads of a log, one after the other by one user, are one act, at the time
 * of the last.
 */
#pragma once

#include "instances/store_acts.h"
#include "util/error.h"
#include "util/identity.h"
#include "util/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define HISTORY_QUEUE_MAX 1024 /* not yet written, of all */
#define HISTORY_BATCH_MAX 256  /* written at a time; so many are not left to wait */
#define HISTORY_DELAY 200      /* ms, until the first is written */
#define HISTORY_RETRY 2000     /* ms, after a failure */

struct events;
struct limits;

enum history_action {
	HISTORY_ATTACHED,
	HISTORY_DETACHED,   /* a session ended by itself */
	HISTORY_TAKEN_OVER, /* ended, for somebody else came with `force` */
	HISTORY_ENDED,      /* ended by somebody else, or by the instance's end */
	HISTORY_LOG_READ,
	HISTORY_LOG_CLEARED,
	HISTORY_SCREENSHOT,
	HISTORY_TYPED, /* without a session */
	HISTORY_LOST,  /* history.c's own: acts of which only the number is known */
};

/* One act. Nothing of it is kept by reference but the strings said to be static. */
struct history_entry {
	enum history_action action;
	const char *session;        /* the operation's id, or NULL */
	const char *type;           /* "console", "vga", or NULL; static */
	const char *mode;           /* "write", "watch", or NULL; static */
	const struct identity *who; /* whose session or act it is; NULL: nobody's */
	const struct identity *by;  /* who has ended it, where that is somebody else; or NULL */
	int64_t duration;           /* nanoseconds; of a session that has ended */
	uint64_t sent, received;    /* bytes to the client and from it, likewise */
};

struct history {
	struct store *store;         /* borrowed */
	struct events *events;       /* borrowed */
	const struct limits *limits; /* borrowed */
	uv_timer_t timer;            /* runs only while something is queued */
	struct list queue;           // queued::link, the oldest first
	unsigned int count;          /* of them */
	uint64_t delay, retry;       /* HISTORY_DELAY, HISTORY_RETRY; tests have less patience */
	bool failing;                /* the last write has failed, and the log says so */
};

/* The loop, the store and the events must outlive it. -ENOMEM. */
int history_create(struct history **history, uv_loop_t *loop, struct store *store, struct events *events,
		   const struct limits *limits);

/* Writes what is queued, now. The memory is freed after one more turn of the loop. NULL is allowed. */
void history_destroy(struct history *history);

/* Notes what was done with an instance's console. Never blocks, never fails. */
void history_add(struct history *history, const char *instance, const struct history_entry *entry);

/*
 * The same, and publishes the lifecycle event if there is one of the kind: of LXD's names instance-console,
 * instance-console-retrieved (a screenshot, and a log that was read), instance-console-reset; of our own
 * instance-console-detached (detached, ended), instance-console-taken-over. The requestor is `who`, except of
 * instance-console, for which LXD names none.
 */
void history_tell(struct history *history, const char *instance, const struct history_entry *entry);

/*
 * Calls `each` with the latest `limit` acts of those at `since` (nanoseconds since 1970) or later, the oldest first,
 * written or not. `act` is borrowed. Blocks for a local read, and a write of what is queued. -EIO where the database is
 * damaged.
 */
int history_each(struct history *history, const char *instance, int64_t since, unsigned int limit,
		 void (*each)(const struct store_act *act, void *user), void *user, struct error *error);

/* The instance has another name; what the store holds has it already (store_rename()). */
void history_rename(struct history *history, const char *from, const char *to);

/* Nothing is left of the instance. */
void history_forget(struct history *history, const char *instance);
