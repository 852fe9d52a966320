// SPDX-License-Identifier: Apache-2.0
/*
 * What the daemon has last asked to be kept: run/NAME/target, a packed target. It is written by the daemon alone, and
 * so can be believed where a keeper's word is not to be: by the next daemon, and by the starter of programs. Blocking
 * (disk).
 */
#pragma once

#include <stddef.h>

/* Replaces the file in `directory`, all of it or nothing. -errno. */
int target_file_write(int directory, const void *data, size_t length);

/* Reads it; `*data` is the caller's to free. -ENOENT; -EBADMSG: it is not a file of ours. */
int target_file_read(int directory, void **data, size_t *length);

void target_file_remove(int directory);
