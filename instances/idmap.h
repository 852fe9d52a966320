// SPDX-License-Identifier: Apache-2.0
/* The ids of this machine that root's containers may use: subuid(5) and subgid(5). */
#pragma once

#include "util/error.h"

#include <stdint.h>
#include <stdio.h>

#define IDMAP_COUNT 65536 /* as many as a container gets: all that 16 bits can say */

struct idmap {
	uint32_t uid, gid; /* what a container's 0 is on this machine; IDMAP_COUNT follow */
};

/*
 * Finds the first range of root (by name, or as 0) that has IDMAP_COUNT ids, in the form of subuid(5): lines
 * "name:first:count". Lines that say something else are passed over. -ENOENT.
 */
int idmap_parse(FILE *file, uint32_t *first);

/* Reads /etc/subuid and /etc/subgid. -ENOENT naming what is missing and what to do about it. */
int idmap_read(struct idmap *idmap, struct error *error);
