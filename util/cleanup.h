// SPDX-License-Identifier: Apache-2.0
/*
 * Locals that release themselves at the end of their scope:
 *
 *     cleanup_free char *name = NULL;
 *     cleanup_close int fd = open(...);
 *
 * Ownership leaves a scope with move_fd() or move_pointer(), which also mark the place in the text.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

/* Keeps errno: a failed call's reason must survive the cleanup behind it. */
static inline void cleanup_close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

/* Unused: to hold something until the end of the scope is use enough. */
#define cleanup_free __attribute__((cleanup(cleanup_free_pointer), unused))
#define cleanup_close __attribute__((cleanup(cleanup_close_fd), unused))

static inline int move_fd(int *fd)
{
	int moved = *fd;

	*fd = -1;
	return moved;
}

/* Closes an fd once and marks it closed; -1 is allowed. */
static inline void close_fd(int *fd)
{
	cleanup_close_fd(fd);
	*fd = -1;
}

#define move_pointer(pointer)                         \
	({                                            \
		__typeof__(pointer) moved_ = pointer; \
		(pointer) = NULL;                     \
		moved_;                               \
	})
