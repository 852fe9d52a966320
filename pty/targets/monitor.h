// SPDX-License-Identifier: Apache-2.0
/*
 * The monitor of a running LXC container, as /proc shows it: the process that liblxc leaves behind to look after it.
 * Asks the monitor nothing, and so does not hang with one that does. Needs root.
 */
#pragma once

#include "pty/targets/container.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct monitor {
	pid_t pid, init; /* the container's first process, the monitor's child */
	int pidfd, init_pidfd;
};

/*
 * Finds the monitor of `container` (name and path) and opens its pidfds, close-on-exec. -ESRCH: it does not run, or is
 * between two boots; then there is nothing to finish.
 */
int monitor_find(struct monitor *monitor, const struct console_container *container);
void monitor_finish(struct monitor *monitor);

/* The container's first process, a child of its monitor's; 0: it has none (any more). It may have ended, unreaped. */
pid_t monitor_init(pid_t monitor);

/* Whether there is one that answers liblxc's commands, or will: not any more when its container has ended. */
bool monitor_listens(const struct console_container *container);

/*
 * Kills the monitor of a container that a keeper of ours has begun to start with this console, and its children; waits
 * until it has ended, but no longer than a second.
 */
void monitor_kill(const struct console_container *container, int master);

/* Whether it has this very file open. */
bool monitor_has_open(const struct monitor *monitor, const struct stat *file);

/*
 * These return a copy of a descriptor of the monitor, close-on-exec, or -1. It is the same open file description
 * (pidfd_getfd(2)): what it reads the monitor does not, and O_NONBLOCK is not to be changed.
 */

/* The master of the container's console: the monitor's to read from. Not there yet while the container starts. */
int monitor_console(const struct monitor *monitor);

/* The master that a keeper of ours has left with it: the other end of what it passes the console on to. */
int monitor_own_master(const struct monitor *monitor);

/*
 * The master of the PTY that it passes the console on to for one who took the console's slot and has died since, but
 * it has not noticed within 20 ms: it hangs, writing to it, until somebody reads.
 */
int monitor_orphan(const struct monitor *monitor);
