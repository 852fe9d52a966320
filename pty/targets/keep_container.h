// SPDX-License-Identifier: Apache-2.0
/*
 * The inside of a keeper for containers: keep_container.c is its target.h, container_errand.c has the jobs,
 * container_console.c the console.
 */
#pragma once

#include "pty/keeper.h"
#include "pty/targets/cgroup.h"
#include "pty/targets/container.h"
#include "pty/targets/foreign.h"
#include "pty/targets/job.h"

#include <stdbool.h>
#include <stdint.h>

enum errand {
	ERRAND_NONE,
	ERRAND_START,
	ERRAND_TAKE,       /* on one that runs */
	ERRAND_TAKE_AGAIN, /* after an earlier keeper's death */
	ERRAND_FIND,       /* the processes of one of which init has ended, or may have */
	ERRAND_AGAIN,      /* to look whether more of its output can be had by now */
	ERRAND_INPUT,      /* another way to type into it */
	ERRAND_FREEZE,
	ERRAND_CLEAN, /* when all has ended, or has to */
};

struct target {
	struct console_container *container;
	bool take; /* the next start takes it on as it runs */
	bool ours; /* its output comes to `master`, a PTY that was made for it; what liblxc leaves is ours to remove */

	enum errand errand;
	struct job job;
	int wanted; /* what FREEZE wanted, until there is no other errand; -1: nothing */
	bool cut;   /* its input is lost, and ERRAND_INPUT waits until there is no other errand */

	int output, ready, slot; /* of one that is not ours: what foreign.h has found; -1 = none */
	bool file;               /* `output` is a file, */
	int64_t shift;           /* what to add to an offset in the ring to get the position in it */

	int halt;               /* the signal that shuts it down; 0: the usual ones */
	bool insisted;          /* TARGET_KILL came before */
	bool alone;             /* the keeper has no child */
	bool gone;              /* all has ended and been cleaned */
	uint64_t boundary;      /* ERRAND_FIND: where the output of the last boot ends */
	struct cgroups cgroups; /* of monitor and init, if ours */
};

/* --- container_errand.c --- */

/* Begins a job, whose reports target_on_report() gets. -errno. */
int begin_errand(struct keeper *keeper, enum errand errand);

/* Kills it. */
void end_errand(struct keeper *keeper);

/* --- container_console.c --- */

/* Gets the terminal ready for a start, and holds its slave. -errno. */
int prepare_terminal(struct keeper *keeper);

/* Takes over the console that was found, and reads from it: one of ours (-errno), or one of somebody else. */
int take_own_console(struct keeper *keeper, struct foreign *found);
void take_foreign_console(struct keeper *keeper, struct foreign *found);

/* Takes over what takes input and sizes, if there is any (-1: none). */
void replace_input(struct keeper *keeper, int *input);

/* Closes what is only somebody else's console. */
void forget_console(struct target *target);

/* Puts what a file has from `at` on into the log. */
void append_file(struct keeper *keeper, int file, off_t at);

/* Whether an earlier keeper was reading the container's own log file; sets `file` and `shift`. */
bool find_log_file(struct keeper *keeper);

/* Appends what is left of it, when the container has ended and nobody has opened it again. */
void append_rest(struct keeper *keeper);

void forget_log_file(const struct keeper *keeper);
