// SPDX-License-Identifier: Apache-2.0
/*
 * How much of everything there may be: what keeps a client, or a thousand, from stalling or growing the daemon. Each is
 * a key of the server's config, `limits.NAME` (doc/consoled.8.scd says what each bounds). Whoever enforces one borrows
 * the struct and looks when it matters, so that a change holds from then on; what is there already stays.
 */
#pragma once

#include "util/error.h"

#include <stdint.h>

struct limits {
	/* connections: bytes, seconds */
	uint64_t connections, connections_per_user;
	uint64_t incomplete_heads; /* connections whose first request's head is not complete; one more closes the oldest
				    */
	uint64_t head_size, head_timeout;
	uint64_t body_size, body_timeout;
	uint64_t bodies_size;  /* all bodies that are there at once */
	uint64_t answers_size; /* all answers that clients have yet to take */
	uint64_t idle_timeout; /* without a byte moving */

	/* WebSockets: bytes */
	uint64_t message_size; /* of data, which is passed on as it comes */
	uint64_t control_size;

	/* of one instance */
	uint64_t sessions, pending_sessions;
	uint64_t channels; /* of a viewer */
	uint64_t waits_per_instance;
	uint64_t inputs;
	uint64_t screenshots;
	uint64_t history; /* acts that are kept */

	/* of all */
	uint64_t operations;
	uint64_t event_listeners, event_queue_size;
	uint64_t waits;
	uint64_t screens;              /* of logs, waited for */
	uint64_t drawings, scrollback; /* screens drawn for sessions at once; lines above each */
	uint64_t instances;
	uint64_t database_size; /* bytes */
};

/* The defaults. */
void limits_init(struct limits *limits);

/* The name of the i-th key ("limits.connections"), and its default as it is written; NULL behind the last. */
const char *limits_key(unsigned int i);
const char *limits_default(const char *key);

/* -EINVAL with the reason, for a value that `key` may not have or a key that there is not. */
int limits_check(const char *key, const char *value, struct error *error);

/* Makes `value` hold for `key`; both have been checked. */
void limits_set(struct limits *limits, const char *key, const char *value);
