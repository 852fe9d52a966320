// SPDX-License-Identifier: Apache-2.0
/* One daemon a directory: a lock file that names its holder. */
#pragma once

#include "util/error.h"

/*
 * Takes DIR/lock for this process's life and writes its pid into it. Returns the fd, to be kept open, or -errno with
 * the reason; -EBUSY: held, by the pid that `error` names. The kernel drops the lock with the process, however it ends.
 */
int lock_directory(int directory_fd, const char *directory, struct error *error);
