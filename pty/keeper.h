// SPDX-License-Identifier: Apache-2.0
/*
 * The inside of a keeper, one per process: keeper.c runs, keeper_life.c starts and ends the target, target.h is what
 * that is.
 */
#pragma once

#include "pty/ring.h"
#include "pty/targets/program.h" /* enum console_restart */
#include "pty/wire.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct keeper {
	enum keeper_phase phase;
	bool over; /* leave the loop */

	int daemon;    /* the connection; -1 = none */
	int listener;  /* where the next daemon connects; looked at only while there is none */
	int directory; /* run/NAME */
	bool untold;   /* the daemon has not heard of the present state: its socket was full */

	struct ring ring;
	int eventfd;         /* from the daemon */
	uint64_t limit;      /* the head may not pass it */
	int64_t waits_since; /* when held: since then, or since the daemon's last message if that is later */

	int master;               /* of the terminal, from the daemon; the target may have none, or make another */
	int input;                /* what takes input and a size, where that is not the master; -1 = it is */
	bool news;                /* these two are others than the daemon has heard of */
	int output;               /* what is read: the master, or what the target has found; -1 = nothing can be */
	int ready;                /* what tells that there is some: `output` itself, or an inotify(7) of a file */
	enum console_output kind; /* how much of the console's output that is */

	void *next; /* the packed target that comes in its place at the next start; NULL: it stays */
	size_t next_length;
	struct target *target;
	enum console_restart restart;

	int slave;   /* held while it runs, so that no hang-up is seen before its end; -1: not on a terminal of ours */
	int report;  /* of the child that does something for the target: target_on_report() */
	int watched; /* by the target alone: target_on_watched(); of a program, the starter */
	int pidfd;   /* its end is the target's: a program's first process, a container's monitor */
	pid_t pid; /* what the instance's users know as its pid: a program's first process, a container's init; or 0 */
	uint32_t boot;       /* counted, see struct wire_state */
	bool frozen, deaf;   /* see struct wire_state */
	bool ours;           /* DRAINING: no status is to come from the daemon */
	uint64_t start_head; /* the ring's, when the last start was begun */
	int64_t started_at;

	bool stopping, again; /* STOP was said, and whether to start again after it */
	int64_t kill_at;      /* TIME_NEVER: it may take as long as it wants */
	int64_t end_at;       /* when to ask it to end once more; TIME_NEVER: it has heard it */

	int64_t ended_at; /* DRAINING */
	uint64_t ended_head;
	uint64_t pending_max; /* more than waits in the output at the end: what comes after that is from survivors */
	bool closed;          /* nobody has the slave any more, and all is read */
	bool more;            /* of a file: `ready` may not tell of what is left */
	bool dry;             /* nothing waits in the output, as far as this turn has seen */
	bool survivors;       /* of a stopped program */

	int64_t rest_until; /* RESTING */
	int64_t back_off;   /* ms, of the next restart by policy */

	struct wire_exit exit;
	struct error error;
};

/* Points in time are milliseconds of CLOCK_MONOTONIC. */
#define TIME_NEVER INT64_MAX

int64_t keeper_now(void);

/* --- keeper.c --- */

/* Tells the daemon, if there is one, the present state. */
void keeper_tell(struct keeper *keeper);

/* Tells the daemon that what it asked for last cannot be done, and why. */
void keeper_refuse(struct keeper *keeper, const struct error *error);

/* Whether the head has reached the limit, and so the output is not read. */
bool keeper_held(const struct keeper *keeper);

/* Reads the console from `output`, of which `ready` tells when; both may be the same, or -1. Both stay the caller's. */
void keeper_read_from(struct keeper *keeper, int output, int ready, enum console_output kind);

/* --- keeper_life.c --- */

/* Takes over what a KEEP message says: starts the target, or goes on with one that runs. */
void keeper_keep(struct keeper *keeper, const struct wire_state *state);

/* What a target has to tell: */

/* It runs, and this is a new boot. */
void keeper_begin(struct keeper *keeper);

/* It runs, and has for some time: the log goes on where it was. */
void keeper_resume(struct keeper *keeper);

/* It did not start, for the reason in `error`. */
void keeper_fail(struct keeper *keeper);

/* It has booted again by itself, and `pid` is its new one. The new boot's output begins at `offset`. */
void keeper_reboot(struct keeper *keeper, pid_t pid, uint64_t offset);

/* It stands still, or goes on. */
void keeper_frozen(struct keeper *keeper, bool frozen);

/* Things that have happened: the target has ended, a point in time may have come. */
void keeper_on_exit(struct keeper *keeper);
void keeper_on_time(struct keeper *keeper);

/* When keeper_on_time() is due next. */
int64_t keeper_due(const struct keeper *keeper);

/* Ends it, and then perhaps starts it again, or `next` if there is one: what a STOP message says. */
void keeper_stop(struct keeper *keeper, int timeout_ms, bool again);

void keeper_freeze(struct keeper *keeper, bool frozen);
