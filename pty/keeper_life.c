// SPDX-License-Identifier: Apache-2.0
/* The program's life: the arrows of the drawing in keeper.c. */
#include "pty/keeper.h"
#include "pty/targets/program.h"
#include "util/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define GRACE 500               /* ms that survivors of the program get to write more, or to end after a stop */
#define STATUS_WAIT 1000        /* ms that the daemon gets to tell the status of a program that is not our child */
#define KILL_EVERY 1000         /* ms between SIGKILLs: the session may have forked meanwhile */
#define PENDING_MAX (64 * 1024) /* more than a terminal holds: what comes after that is from survivors */

/* Restart policy: at once after a run of STEADY ms and the first time; else 1 s, doubled each time up to 30 s. */
#define STEADY 10000
#define BACK_OFF_MIN 1000
#define BACK_OFF_MAX 30000

static const int signals_hang_up[] = {SIGHUP, SIGCONT, 0};
static const int signals_end[] = {SIGHUP, SIGTERM, SIGCONT, 0};
static const int signals_kill[] = {SIGKILL, 0};
static const int signals_freeze[] = {SIGSTOP, 0};
static const int signals_thaw[] = {SIGCONT, 0};

static void enter(struct keeper *keeper, enum keeper_phase phase)
{
	keeper->phase = phase;
	keeper_tell(keeper);
}

static void forget_program(struct keeper *keeper)
{
	keeper->pid = 0;
	keeper->stopping = false;
	close_fd(&keeper->pidfd);
	close_fd(&keeper->slave);
}

/* A child that has not called setsid(2) yet is in no session of its own. */
static void signal_program(struct keeper *keeper, const int *signals)
{
	if (program_signal_session(keeper->pid, signals) > 0)
		return;
	for (; *signals; signals++)
		pidfd_send_signal(keeper->pidfd, *signals, NULL, 0);
}

static void fail(struct keeper *keeper)
{
	forget_program(keeper);
	enter(keeper, KEEPER_FAILED);
}

static void start(struct keeper *keeper)
{
	int r;

	keeper->exit = (struct wire_exit){0};
	keeper->slave = program_open_slave(keeper->master, keeper->program);
	r = keeper->slave;
	if (r >= 0)
		r = program_spawn(keeper->program, keeper->slave, &keeper->pidfd, &keeper->report);
	if (r < 0) {
		error_set(&keeper->error, r, "%s: %s", keeper->slave < 0 ? "terminal" : "fork", strerror(-r));
		fail(keeper);
		return;
	}
	keeper->pid = r;
	enter(keeper, KEEPER_STARTING);
}

static void begin(struct keeper *keeper)
{
	ring_begin_boot(&keeper->ring); /* nothing has been drained since the fork: it begins here */
	keeper->started_at = keeper_now();
	keeper->closed = false;
	enter(keeper, KEEPER_RUNNING);
}

/* An earlier keeper has died. Whatever happened to the program since shows at its pidfd and in the master. */
static void adopt(struct keeper *keeper, const struct wire_state *state)
{
	keeper->slave = program_hold_slave(keeper->master);
	if (keeper->slave < 0) { /* then better no keeper than one that takes a closed slave for the end */
		keeper->over = true;
		return;
	}
	keeper->pid = state->pid;
	if (state->phase == KEEPER_STARTING) {
		begin(keeper); /* if it was not executed after all, it has exited with 127 */
		return;
	}
	keeper->started_at = keeper_now();
	enter(keeper, KEEPER_RUNNING);
}

void keeper_keep(struct keeper *keeper, const struct wire_state *state)
{
	if (state->pid > 0)
		adopt(keeper, state);
	else
		start(keeper);
}

void keeper_on_report(struct keeper *keeper)
{
	int r = program_result(keeper->program, keeper->report, &keeper->error);

	close_fd(&keeper->report);
	if (r == 0) {
		begin(keeper);
		return;
	}
	waitpid(keeper->pid, NULL, 0); /* it exits behind its report */
	fail(keeper);
}

void keeper_on_exit(struct keeper *keeper)
{
	siginfo_t info;

	/* The leader stays a zombie until its session is done with: nobody else gets the pid, which names both. */
	keeper->survivors = false;
	if (keeper->stopping)
		keeper->survivors = program_signal_session(keeper->pid, signals_hang_up) > 0;
	keeper->ours = waitid(P_PIDFD, (id_t)keeper->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
	close_fd(&keeper->slave);
	keeper->ended_at = keeper_now();
	keeper->ended_head = ring_head(&keeper->ring);
	keeper->dry = false;
	keeper->phase = KEEPER_DRAINING;
}

/*
 * Whether all that the program wrote is in the ring. The terminal says so itself (closed), unless survivors hold it
 * open: then it is what is there after a grace, and no more of it than the program can have written.
 */
static bool drained(const struct keeper *keeper, bool grace_over)
{
	bool enough = keeper->dry || ring_head(&keeper->ring) - keeper->ended_head >= PENDING_MAX;

	return keeper->closed || (grace_over && enough);
}

static bool ready_to_finish(const struct keeper *keeper)
{
	int64_t since = keeper_now() - keeper->ended_at;

	if (!drained(keeper, since >= GRACE))
		return false;
	if (keeper->survivors && since < GRACE)
		return false;
	return keeper->ours || keeper->exit.known || keeper->daemon < 0 || since >= STATUS_WAIT;
}

/* Whether and when the program is to be started again; if so, `rest_until` says when. */
static bool goes_on(struct keeper *keeper)
{
	enum console_restart policy = keeper->program->restart;
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
	int status;

	if (keeper->stopping && keeper->kill_at != TIME_NEVER)
		program_signal_session(keeper->pid, signals_kill);
	if (waitpid(keeper->pid, &status, WNOHANG) == keeper->pid) {
		keeper->exit.status = status;
		keeper->exit.known = true;
	}
	keeper->exit.head = ring_head(&keeper->ring);
	next = goes_on(keeper) ? KEEPER_RESTING : KEEPER_EXITED;
	forget_program(keeper);
	enter(keeper, next);
}

void keeper_on_time(struct keeper *keeper)
{
	int64_t now = keeper_now();

	switch (keeper->phase) {
	case KEEPER_STARTING:
	case KEEPER_RUNNING:
		if (keeper->stopping && now >= keeper->kill_at) {
			signal_program(keeper, signals_kill);
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
		return keeper->stopping ? keeper->kill_at : TIME_NEVER;
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
	if (!alive)
		keeper->survivors = program_signal_session(keeper->pid, signals_end) > 0;
	else if (timeout_ms != 0) /* 0: keeper_on_time() kills in this turn */
		signal_program(keeper, signals_end);
}

void keeper_freeze(struct keeper *keeper, bool frozen)
{
	if (keeper->phase != KEEPER_RUNNING)
		return;
	signal_program(keeper, frozen ? signals_freeze : signals_thaw);
	if (frozen) /* once more for those that were born meanwhile; all parents stand still now */
		signal_program(keeper, signals_freeze);
}
