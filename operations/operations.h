// SPDX-License-Identifier: Apache-2.0
/* The registry of operations: it owns them, finds them, and frees them when they have been final for long enough. */
#pragma once

#include <jansson.h>
#include <uv.h>

#include "util/identity.h"
#include "util/list.h"

#define OPERATION_KEEP_MS 5000 /* how long an ended one stays visible, as in LXD */
#define OPERATIONS_BUCKETS 256 /* by the first byte of the id, which is random */

struct error;
struct events;
struct limits;
struct operation;

struct operations {
	uv_loop_t *loop;
	uv_timer_t expiry;                       /* runs only while something is to expire */
	struct events *events;                   /* where changes are published; borrowed */
	const struct limits *limits;             /* borrowed */
	struct list live;                        // operation::link, oldest first
	struct list ended;                       // operation::link, first to end first
	struct list buckets[OPERATIONS_BUCKETS]; // operation::bucket
	unsigned int count;                      /* in both lists */
};

/* `events` and `limits` are borrowed and must outlive the registry. */
int operations_init(struct operations *operations, uv_loop_t *loop, struct events *events, const struct limits *limits);

/*
 * Frees all operations (owners must have let go; who still waits is not told) and closes the timer; it is gone after
 * one more turn of the loop.
 */
void operations_finish(struct operations *operations);

/* For operation.c. Takes in an operation with an id. A full registry (live and recently ended: limits.operations) frees
 * who ended first; -EAGAIN in words if all are live. */
int operations_add(struct operations *operations, struct operation *operation, struct error *error);

/* For operation.c. Forgets an operation that is about to be freed. */
void operations_remove(struct operations *operations, struct operation *operation);

/* For operation.c. From now on `operation` is kept for OPERATION_KEEP_MS. */
void operations_retire(struct operations *operations, struct operation *operation);

/* By id, or NULL. Any string may be asked for. */
struct operation *operations_find(const struct operations *operations, const char *id);

/*
 * GET /1.0/operations: {"running": ["/1.0/operations/<id>"], ...}, keys are lower-case statuses, absent when empty.
 * With `full`, whole operations as `viewer` may see them. New reference, NULL without memory.
 */
json_t *operations_json(const struct operations *operations, bool full, const struct identity *viewer);
