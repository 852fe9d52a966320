// SPDX-License-Identifier: Apache-2.0
/*
 * What a keeper asks of liblxc. All of it may block for as long as the container's monitor does not answer, and most
 * of it forks or changes the process: only a job (job.h) calls it.
 */
#pragma once

#include "pty/targets/container.h"
#include "pty/targets/job.h"
#include "util/error.h"

#include <stdbool.h>

/* The descriptor by which the monitor of a container that we start holds the master of its console. */
#define CONTAINER_MASTER 3

/*
 * Starts the container with its console on the slave of `master`, of which the container's monitor gets a descriptor,
 * so that it outlives us. The report says all that is known then; init 0: it has ended again already. One that runs on
 * that very master is taken as started. Errors are in the words of liblxc's log if possible.
 */
void container_start(const struct console_container *container, int master, struct job_report *report);

/*
 * Finds the processes of one that runs; if it is just booting again, waits until it does. -ESRCH: it does not run, or
 * has ended.
 */
int container_find(const struct console_container *container, struct job_report *report);

/* How it can be shut down, and whether it is frozen, for the report. */
void container_look(const struct console_container *container, struct job_report *report);

/* Stops it where it stands, or lets it go on; -errno, in words. */
int container_freeze(const struct console_container *container, bool frozen, struct error *error);

/*
 * While the lock is held, nobody removes the directories in which liblxc has its own lock files for containers of
 * `path`. Released by closing the descriptor that it returns.
 */
int container_share_locks(const char *path);

/* Removes the lock file that liblxc may have left, and the directories unless somebody shares them. */
void container_remove_locks(const struct console_container *container);
