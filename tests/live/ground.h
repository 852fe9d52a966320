// SPDX-License-Identifier: Apache-2.0
/* The daemon that is talked to, in a directory of its own, and what can be seen of it from outside. */
#pragma once

#include "tests/live/request.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct ground {
	char directory[64];
	char socket[96], errors[96];
	pid_t daemon;
	bool failed; /* something has been complained about */
};

/* Makes the directory, starts the daemon and waits until it is ready. Ends the program if that fails. */
void ground_begin(struct ground *ground, const char *consoled, struct routes *routes);

/* Ends the daemon and whatever it has started. Complains if it does not end well, or has had something to say. */
void ground_finish(struct ground *ground);

/* Says what is wrong; the program fails in the end. */
void complain(struct ground *ground, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool ground_alive(const struct ground *ground);

/* Connects to the daemon, for reading and writing without waiting; -1 if it does not take it. */
int ground_connect(const struct ground *ground);

/* What should be the same before and after. */
struct measure {
	unsigned int descriptors, processes, files;
	size_t resident; /* bytes */
};

struct measure ground_measure(const struct ground *ground);
