// SPDX-License-Identifier: Apache-2.0
/* A client that does all as it should, and expects as much: it makes the instances, and looks whether all is well. */
#pragma once

#include "tests/live/ground.h"

struct honest {
	struct ground *ground;
	int console; /* a WebSocket attached to an instance of its own */
	struct buffer heard;
	unsigned int letter;
	struct random random;
};

/* Makes an instance that nobody else knows, and attaches to it. */
void honest_begin(struct honest *honest, struct ground *ground);

/* Makes and starts what others may have ended, deleted or renamed. */
void honest_restore(struct honest *honest);

/* Whether the daemon answers, and a byte typed comes back. Complains if not. */
void honest_check(struct honest *honest);

/* Ends all instances but its own, and waits until there is no operation but its own. Complains if there stays one. */
void honest_clean(struct honest *honest);

void honest_end(struct honest *honest);
