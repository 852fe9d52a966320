// SPDX-License-Identifier: Apache-2.0
/* The registry of operations: it owns them, finds them, and frees them when they have been final for long enough. */
#pragma once

#include <jansson.h>
#include <uv.h>

#include "util/identity.h"
#include "util/list.h"

#define OPERATIONS_MAX 4096    /* live and recently ended */
#define OPERATION_KEEP_MS 5000 /* how long an ended one stays visible, as in LXD */

struct events;
struct operation;

struct operations {
	uv_loop_t *loop;
	uv_timer_t expiry;
	struct events *events; /* where changes are published; borrowed */
	struct list all;       // operation::link, oldest first
	unsigned int count;
};

/* `events` is borrowed and must outlive the registry. */
int operations_init(struct operations *operations, uv_loop_t *loop, struct events *events);

/* Frees all operations (owners must have let go) and closes the timer; it is gone after one more turn of the loop. */
void operations_finish(struct operations *operations);

/* By id, or NULL. Any string may be asked for. */
struct operation *operations_find(const struct operations *operations, const char *id);

/*
 * GET /1.0/operations: {"running": ["/1.0/operations/<id>"], ...}, keys are lower-case statuses, absent when empty.
 * With `full`, whole operations as `viewer` may see them. New reference, NULL without memory.
 */
json_t *operations_json(const struct operations *operations, bool full, const struct identity *viewer);
