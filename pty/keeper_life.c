// SPDX-License-Identifier: Apache-2.0
/* The target's life: the arrows of the drawing in keeper.c. */
#include "pty/keeper.h"
#include "pty/target.h"
#include "util/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>

#define GRACE 500        /* ms that survivors of a program get to write more, or to end after a stop */
#define STATUS_WAIT 1000 /* ms that the daemon gets to tell the status of a program that is not our child */
#define END_EVERY 100    /* ms between requests to end that nobody is known to have heard */
#define KILL_EVERY 1000  /* ms between SIGKILLs: the session may have forked meanwhile */

/* Restart policy: at once after a run of STEADY ms and the first time; else 1 s, doubled each time up to 30 s. */
#define STEADY 10000
#define BACK_OFF_MIN 1000
#define BACK_OFF_MAX 30000

static void enter(struct keeper *keeper, enum keeper_phase phase)
{
	keeper->phase = phase;
	keeper_tell(keeper);
}

static void forget_target(struct keeper *keeper)
{
	keeper->pid = 0;
	keeper->stopping = keeper->frozen = keeper->deaf = false;
	close_fd(&keeper->pidfd);
	close_fd(&keeper->slave);
}

void keeper_fail(struct keeper *keeper)
{
	forget_target(keeper);
	enter(keeper, KEEPER_FAILED);
}

/* What a restart has brought takes the place of what there was. */
static int open_next(struct keeper *keeper)
{
	cleanup_free void *packed = move_pointer(keeper->next);
	int r;

	target_close(keeper);
	keeper->target = NULL;
	r = target_open(keeper, packed, keeper->next_length);
	return r < 0 ? error_set(&keeper->error, r, "keeper: %s", strerror(-r)) : 0;
}

static void start(struct keeper *keeper)
{
	int r = keeper->next ? open_next(keeper) : 0;

	keeper->exit = (struct wire_exit){0};
	keeper->start_head = ring_head(&keeper->ring);
	if (r == 0)
		r = target_start(keeper);
	if (r < 0)
		keeper_fail(keeper);
	else
		enter(keeper, KEEPER_STARTING);
}

void keeper_begin(struct keeper *keeper)
{
	ring_begin_boot(&keeper->ring, keeper->start_head);
	keeper->boot++;
	keeper_resume(keeper);
}

void keeper_resume(struct keeper *keeper)
{
	keeper->started_at = keeper_now();
	keeper->closed = keeper->output < 0;
	enter(keeper, KEEPER_RUNNING);
}

/* An earlier keeper has died. Whatever happened to the target since shows at its pidfd and in the output. */
static void adopt(struct keeper *keeper, const struct wire_state *state)
{
	keeper->start_head = ring_head(&keeper->ring);
	if (target_adopt(keeper, state) < 0) {
		keeper->over = true;
		return;
	}
	keeper->frozen = state->frozen;
	keeper->deaf = state->deaf;
	keeper->boot = state->boot;
	if (state->phase == KEEPER_STARTING)
		keeper_begin(keeper); /* if it was not executed after all, it has exited with 127 */
	else
		keeper_resume(keeper);
}

void keeper_keep(struct keeper *keeper, const struct wire_state *state)
{
	if (state->pid > 0 || state->phase == KEEPER_RUNNING) /* a serial device has no pid */
		adopt(keeper, state);
	else
		start(keeper);
	/* Afterwards, for a start is waited for; but before anything of what it prints is read. */
	if (target_confine(keeper) < 0)
		keeper->over = true; /* the next keeper goes on with it */
}

void keeper_reboot(struct keeper *keeper, pid_t pid, uint64_t offset)
{
	ring_begin_boot(&keeper->ring, offset);
	keeper->boot++;
	keeper->exit = (struct wire_exit){.head = offset};
	keeper->pid = pid;
	keeper->started_at = keeper_now();
	keeper_tell(keeper);
}

void keeper_frozen(struct keeper *keeper, bool frozen)
{
	keeper->frozen = frozen;
	keeper_tell(keeper);
}

void keeper_on_exit(struct keeper *keeper)
{
	target_on_exit(keeper);
	keeper->ended_at = keeper_now();
	keeper->ended_head = ring_head(&keeper->ring);
	keeper->dry = false;
	keeper->phase = KEEPER_DRAINING;
}

/*
 * Whether all that the target wrote is in the ring. The terminal says so itself (closed), unless survivors hold it
 * open: then it is what is there after a grace, and no more of it than the program can have written.
 */
static bool drained(const struct keeper *keeper, bool grace_over)
{
	bool enough = keeper->dry || ring_head(&keeper->ring) - keeper->ended_head >= keeper->pending_max;

	return keeper->closed || (grace_over && enough);
}

static bool ready_to_finish(const struct keeper *keeper)
{
	int64_t since = keeper_now() - keeper->ended_at;

	if (!drained(keeper, since >= GRACE))
		return false;
	if (keeper->survivors && since < GRACE)
		return false;
	if (!target_gone(keeper))
		return false;
	return keeper->ours || keeper->exit.known || keeper->daemon < 0 || since >= STATUS_WAIT;
}

/* Whether and when the program is to be started again; if so, `rest_until` says when. */
static bool goes_on(struct keeper *keeper)
{
	enum console_restart policy = keeper->restart;
	bool failed = !keeper->exit.known || keeper->exit.status != 0;
	int64_t now = keeper_now();

	keeper->rest_until = now;
	if (keeper->stopping) {
		keeper->back_off = 0;
		return keeper->again;
	}
	if (policy == CONSOLE_RESTART_NO || (policy == CONSOLE_RESTART_ON_FAILURE && !failed))
		return false;
	if (now - keeper->started_at >= STEADY)
		keeper->back_off = 0;
	keeper->rest_until = now + keeper->back_off;
	keeper->back_off = keeper->back_off ? MIN(keeper->back_off * 2, BACK_OFF_MAX) : BACK_OFF_MIN;
	return true;
}

static void finish(struct keeper *keeper)
{
	enum keeper_phase next;

	target_finish(keeper);
	keeper->exit.head = ring_head(&keeper->ring);
	next = goes_on(keeper) ? KEEPER_RESTING : KEEPER_EXITED;
	forget_target(keeper);
	enter(keeper, next);
}

/* A guest that is just booting cannot be asked yet; it is not to be waited for for ever because of that. */
static void ask_to_end(struct keeper *keeper)
{
	keeper->end_at = target_signal(keeper, TARGET_END) ? TIME_NEVER : keeper_now() + END_EVERY;
}

void keeper_on_time(struct keeper *keeper)
{
	int64_t now = keeper_now();

	switch (keeper->phase) {
	case KEEPER_STARTING:
	case KEEPER_RUNNING:
		if (keeper->stopping && now >= keeper->end_at)
			ask_to_end(keeper);
		if (keeper->stopping && now >= keeper->kill_at) {
			target_signal(keeper, TARGET_KILL);
			keeper->kill_at = now + KILL_EVERY;
		}
		return;
	case KEEPER_DRAINING:
		if (ready_to_finish(keeper))
			finish(keeper);
		return;
	case KEEPER_RESTING:
		if (now >= keeper->rest_until)
			start(keeper);
		return;
	default:
		return;
	}
}

int64_t keeper_due(const struct keeper *keeper)
{
	int64_t since;

	switch (keeper->phase) {
	case KEEPER_STARTING:
	case KEEPER_RUNNING:
		return keeper->stopping ? MIN(keeper->kill_at, keeper->end_at) : TIME_NEVER;
	case KEEPER_DRAINING:
		since = keeper_now() - keeper->ended_at;
		if (since < GRACE)
			return keeper->ended_at + GRACE;
		if (!drained(keeper, true) && !keeper_held(keeper))
			return keeper->ended_at; /* at once: a poll(2) that does not wait tells whether it is dry */
		return since < STATUS_WAIT ? keeper->ended_at + STATUS_WAIT : TIME_NEVER;
	case KEEPER_RESTING:
		return keeper->rest_until;
	default:
		return TIME_NEVER;
	}
}

void keeper_stop(struct keeper *keeper, int timeout_ms, bool again)
{
	bool alive = keeper->phase == KEEPER_STARTING || keeper->phase == KEEPER_RUNNING;

	if (keeper->phase == KEEPER_RESTING) {
		keeper->rest_until = keeper_now();
		if (!again)
			enter(keeper, KEEPER_EXITED);
		return;
	}
	if (!alive && keeper->phase != KEEPER_DRAINING)
		return;
	keeper->stopping = true;
	keeper->again = again;
	keeper->kill_at = timeout_ms < 0 ? TIME_NEVER : keeper_now() + timeout_ms;
	keeper->end_at = TIME_NEVER;
	if (!alive)
		keeper->survivors = target_signal(keeper, TARGET_END);
	else if (timeout_ms != 0) /* 0: keeper_on_time() kills in this turn */
		ask_to_end(keeper);
}

void keeper_freeze(struct keeper *keeper, bool frozen)
{
	if (keeper->phase == KEEPER_RUNNING)
		target_freeze(keeper, frozen);
}
