// SPDX-License-Identifier: Apache-2.0
/*
 * Lock files of serial devices: LCK..NAME, with the pid of who uses it in ten characters and a line's end (Filesystem
 * Hierarchy Standard 3.0, 5.9). Nothing here blocks.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>

struct uucp_lock {
	char path[128]; /* "": there is none */
};

/*
 * Locks device `name` in `directory`. One of a process that is gone counts for nothing; with `take`, none does. 0, also
 * where there can be no lock (no such directory, or we may not write there): its path is empty then. -EBUSY in words:
 * somebody else has it.
 */
int uucp_lock(struct uucp_lock *lock, const char *directory, const char *name, bool take, struct error *error);

/* Removes it, if it is still ours. One that is empty is allowed. */
void uucp_unlock(struct uucp_lock *lock);
