// SPDX-License-Identifier: Apache-2.0
/* target.h for a program on a PTY. */
#include "pty/pack.h"
#include "pty/target.h"
#include "pty/terminal.h"
#include "util/cleanup.h"
#include "util/list.h"

#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

struct target {
	struct console_program program; /* what it points to lies behind it */
};

const enum console_kind target_kind = CONSOLE_PROGRAM;

static const int signals_hang_up[] = {SIGHUP, SIGCONT, 0};
static const int signals_end[] = {SIGHUP, SIGTERM, SIGCONT, 0};
static const int signals_kill[] = {SIGKILL, 0};
static const int signals_freeze[] = {SIGSTOP, 0};
static const int signals_thaw[] = {SIGCONT, 0};

static const struct console_program *program_of(const struct keeper *keeper)
{
	return &keeper->target->program;
}

int target_open(struct keeper *keeper, const void *packed, size_t length)
{
	struct console_program *program;
	int r = unpack_program(packed, length, &program);

	if (r < 0)
		return r;
	keeper->target = container_of(program, struct target, program);
	keeper->restart = program->restart;
	return 0;
}

void target_close(struct keeper *keeper)
{
	free(keeper->target);
}

int target_start(struct keeper *keeper)
{
	int r;

	keeper->slave = program_open_slave(keeper->master, program_of(keeper));
	r = keeper->slave;
	if (r >= 0)
		r = program_spawn(program_of(keeper), keeper->slave, &keeper->pidfd, &keeper->report);
	if (r < 0)
		return error_set(&keeper->error, r, "%s: %s", keeper->slave < 0 ? "terminal" : "fork", strerror(-r));
	keeper->pid = r;
	return 0;
}

void target_on_report(struct keeper *keeper)
{
	int r = program_result(program_of(keeper), keeper->report, &keeper->error);

	close_fd(&keeper->report);
	if (r == 0) {
		keeper_begin(keeper);
		return;
	}
	waitpid(keeper->pid, NULL, 0); /* it exits behind its report */
	keeper_fail(keeper);
}

void target_on_input_lost(struct keeper *keeper)
{
	close_fd(&keeper->input); /* there never is one */
}

void target_on_watched(struct keeper *keeper)
{
}

int target_adopt(struct keeper *keeper, const struct wire_state *state)
{
	keeper->slave = terminal_hold_slave(keeper->master);
	if (keeper->slave < 0)
		return keeper->slave;
	keeper->pid = state->pid;
	return 0;
}

/* A child that has not called setsid(2) yet is in no session of its own. */
static bool signal_session(struct keeper *keeper, const int *signals)
{
	if (program_signal_session(keeper->pid, signals) > 0)
		return true;
	if (keeper->phase == KEEPER_DRAINING) /* it is a zombie */
		return false;
	for (; *signals; signals++)
		pidfd_send_signal(keeper->pidfd, *signals, NULL, 0);
	return true;
}

bool target_signal(struct keeper *keeper, enum target_request request)
{
	return signal_session(keeper, request == TARGET_KILL ? signals_kill : signals_end);
}

void target_freeze(struct keeper *keeper, bool frozen)
{
	signal_session(keeper, frozen ? signals_freeze : signals_thaw);
	if (frozen) /* once more for those that were born meanwhile; all parents stand still now */
		signal_session(keeper, signals_freeze);
	keeper_frozen(keeper, frozen);
}

void target_on_exit(struct keeper *keeper)
{
	siginfo_t info;

	/* The leader stays a zombie until its session is done with: nobody else gets the pid, which names both. */
	keeper->survivors = keeper->stopping && program_signal_session(keeper->pid, signals_hang_up) > 0;
	keeper->ours = waitid(P_PIDFD, (id_t)keeper->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
	close_fd(&keeper->slave);
}

bool target_gone(const struct keeper *keeper)
{
	return true;
}

void target_finish(struct keeper *keeper)
{
	int status;

	if (keeper->stopping && keeper->kill_at != TIME_NEVER)
		program_signal_session(keeper->pid, signals_kill);
	if (waitpid(keeper->pid, &status, WNOHANG) == keeper->pid) {
		keeper->exit.status = status;
		keeper->exit.known = true;
	}
}
