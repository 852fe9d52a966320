// SPDX-License-Identifier: Apache-2.0
/* target.h for a program on a PTY. */
#include "pty/confinement.h"
#include "pty/pack.h"
#include "pty/target.h"
#include "pty/targets/starter.h"
#include "pty/terminal.h"
#include "util/cleanup.h"
#include "util/list.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct target {
	struct console_program program; /* what it points to lies behind it */
};

const enum console_kind target_kind = CONSOLE_PROGRAM;

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

int target_confine(struct keeper *keeper)
{
	static const int calls[] = {SYS_wait4, SYS_waitid, -1};
	static const unsigned long requests[] = {FIONREAD, TIOCGPTPEER, 0};
	int r = starter_create(keeper, program_of(keeper));

	if (r < 0)
		return r;
	keeper->watched = r;
	return confine(&(struct confinement){.calls = calls, .requests = requests});
}

/* Without its starter a keeper is of little use, and the next one has one: if there is a daemon, which would start it.
 */
static void lose_starter(struct keeper *keeper)
{
	close_fd(&keeper->watched);
	if (keeper->daemon >= 0 && keeper->phase != KEEPER_EXITED && keeper->phase != KEEPER_FAILED)
		keeper->over = true;
}

/* As long as there is no starter, we can do it ourselves, and sooner. */
static pid_t spawn(struct keeper *keeper)
{
	if (keeper->watched < 0)
		return program_spawn(program_of(keeper), keeper->slave, 0, &keeper->pidfd, &keeper->report);
	return starter_start(keeper->watched, &keeper->pidfd, &keeper->report);
}

int target_start(struct keeper *keeper)
{
	int r;

	if (keeper->watched < 0)
		keeper->slave = program_open_slave(keeper->master, program_of(keeper));
	else
		keeper->slave = terminal_hold_slave(keeper->master);
	r = keeper->slave < 0 ? keeper->slave : spawn(keeper);
	if (r < 0)
		return error_set(&keeper->error, r, "%s: %s", keeper->slave < 0 ? "terminal" : "start", strerror(-r));
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
	lose_starter(keeper);
}

int target_adopt(struct keeper *keeper, const struct wire_state *state)
{
	keeper->slave = terminal_hold_slave(keeper->master);
	if (keeper->slave < 0)
		return keeper->slave;
	keeper->pid = state->pid;
	return 0;
}

/* Whether anybody was there to get them. */
static bool signal_session(struct keeper *keeper, enum starter_signals signals)
{
	bool alive = keeper->phase != KEEPER_DRAINING; /* else it is a zombie */
	int r = starter_signal(keeper->watched, signals, alive);

	if (r < 0)
		lose_starter(keeper);
	return r > 0;
}

bool target_signal(struct keeper *keeper, enum target_request request)
{
	return signal_session(keeper, request == TARGET_KILL ? STARTER_KILL : STARTER_END);
}

void target_freeze(struct keeper *keeper, bool frozen)
{
	signal_session(keeper, frozen ? STARTER_FREEZE : STARTER_THAW);
	if (frozen) /* once more for those that were born meanwhile; all parents stand still now */
		signal_session(keeper, STARTER_FREEZE);
	keeper_frozen(keeper, frozen);
}

void target_on_exit(struct keeper *keeper)
{
	siginfo_t info;

	/* The leader stays a zombie until its session is done with: nobody else gets the pid, which names both. */
	keeper->survivors = keeper->stopping && signal_session(keeper, STARTER_HANG_UP);
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
		signal_session(keeper, STARTER_KILL);
	if (waitpid(keeper->pid, &status, WNOHANG) == keeper->pid) {
		keeper->exit.status = status;
		keeper->exit.known = true;
	}
}
