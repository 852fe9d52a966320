// SPDX-License-Identifier: Apache-2.0
/* Secrets that open one socket: 256 bits of getrandom(2), in hex as LXD writes them. */
#pragma once

#include <stdbool.h>

#define SECRET_LENGTH 64

struct secret {
	char text[SECRET_LENGTH + 1];
};

/* Fills in a new secret. -errno if the kernel has no random bytes. */
int secret_create(struct secret *secret);

/* Compares in time that depends on the candidate's length alone. NULL matches nothing. */
bool secret_matches(const struct secret *secret, const char *candidate);
