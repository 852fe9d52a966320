// SPDX-License-Identifier: Apache-2.0
/* The inside of consoled-keeper, one per process: keeper.c runs, keeper_life.c starts and ends the program. */
#pragma once

#include "pty/ring.h"
#include "pty/wire.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct keeper {
	enum keeper_phase phase;
	bool over; /* leave the loop */

	int daemon;   /* the connection; -1 = none */
	int listener; /* where the next daemon connects; looked at only while there is none */
	bool untold;  /* the daemon has not heard of the present state: its socket was full */

	struct ring ring;
	int master, eventfd; /* from the daemon */
	uint64_t limit;      /* the head may not pass it */
	int64_t waits_since; /* when held: since then, or since the daemon's last message if that is later */

	void *packed; /* the program as the daemon packed it, and unpacked */
	size_t packed_length;
	struct console_program *program;

	int slave;  /* held while the program runs, so that no hang-up is seen before its end */
	int report; /* of the child that is about to be the program; STARTING */
	int pidfd;
	pid_t pid;
	bool ours; /* DRAINING: our child, whose status we get from wait(2) */
	int64_t started_at;

	bool stopping, again; /* STOP was said, and whether to start again after it */
	int64_t kill_at;      /* TIME_NEVER: it may take as long as it wants */

	int64_t ended_at; /* DRAINING */
	uint64_t ended_head;
	bool closed;    /* nobody has the slave any more, and all is read */
	bool dry;       /* nothing waits in the master, as far as this turn has seen */
	bool survivors; /* of a stopped program */

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

/* Whether the head has reached the limit, and so the master is not read. */
bool keeper_held(const struct keeper *keeper);

/* --- keeper_life.c --- */

/* Takes over what a KEEP message says: starts the program, or goes on with one that runs. */
void keeper_keep(struct keeper *keeper, const struct wire_state *state);

/* Things that have happened: the child has reported, the program has ended, a point in time may have come. */
void keeper_on_report(struct keeper *keeper);
void keeper_on_exit(struct keeper *keeper);
void keeper_on_time(struct keeper *keeper);

/* When keeper_on_time() is due next. */
int64_t keeper_due(const struct keeper *keeper);

void keeper_stop(struct keeper *keeper, int timeout_ms, bool again);
void keeper_freeze(struct keeper *keeper, bool frozen);
