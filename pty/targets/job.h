// SPDX-License-Identifier: Apache-2.0
/*
 * A job: a child of the keeper that does what may block (all that liblxc does), and reports what came of it. At most
 * one at a time. It dies with the keeper.
 */
#pragma once

#include "pty/keeper.h"
#include "pty/targets/foreign.h"
#include "util/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct job_report {
	bool more;            /* not the last one */
	struct error error;   /* code 0: it is done */
	struct foreign found; /* the container, as far as the job was to look at it */
	int halt;             /* the signal that shuts it down; 0: not configured */
	bool frozen;
};

struct job {
	pid_t pid;
	int pidfd;
};

/* A report of nothing. */
#define JOB_REPORT_NONE                      \
	(struct job_report)                  \
	{                                    \
		.found = {                   \
			.init_pidfd = -1,    \
			.monitor_pidfd = -1, \
			.master = -1,        \
			.history = -1,       \
			.output = -1,        \
			.ready = -1,         \
			.slot = -1,          \
		},                           \
	}

/*
 * Forks a child that calls work() with a copy of the keeper and the number of a descriptor for job_tell(), and ends.
 * Returns the descriptor for job_hear(), or -errno.
 */
int job_start(struct job *job, void (*work)(struct keeper *keeper, int report), struct keeper *keeper);

/* In the job: tells the keeper. Descriptors stay the caller's. */
void job_tell(int report, const struct job_report *message);

/*
 * Reads a report, without blocking; its descriptors are the caller's from here on (foreign_finish()). -EAGAIN: none
 * waits. When the job has ended without one, that is what the report says.
 */
int job_hear(int report, struct job_report *message);

/* Lets go of a job, which is killed if it has not ended yet. */
void job_finish(struct job *job);
