// SPDX-License-Identifier: Apache-2.0
/* What /proc says about processes (proc(5)). Nothing here blocks. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whose process the pidfd is; 0: it has ended and been reaped, or -errno. */
pid_t process_of(int pidfd);

/* Its parent; 0 = none that we can see; or -errno. */
pid_t process_parent(pid_t pid);

/* Whether it is the first process of a pid namespace below ours: a container's init. */
bool process_is_init(pid_t pid);

/* Whether it blocks the signal. */
bool process_blocks(pid_t pid, int signal);

/* Whether it does anything about it: to the first process of a pid namespace the kernel gives no other (kill(2)). */
bool process_handles(pid_t pid, int signal);

/* Sends `signal` (0: none) to each child of `parent` but `spared`. Returns how many there are. */
int process_signal_children(pid_t parent, pid_t spared, int signal);

/*
 * Whether the process has, as descriptor `number`, the PTY master that `master` is. 0: it has; -ENOENT: it has not, or
 * another; -ESRCH: it has ended; other -errno.
 */
int process_holds_master(int pidfd, int number, int master);
