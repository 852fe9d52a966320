// SPDX-License-Identifier: Apache-2.0
/*
 * target.h for an LXC container.
 *
 * The keeper itself never calls liblxc, which blocks as long as the container's monitor does (and that does when the
 * console is not read). Errands are done by jobs (job.h), one at a time; to end a container takes signals alone.
 *
 * A container that is started here has its console on a PTY of which its monitor holds a master too, and the keeper is
 * the monitor's parent (subreaper). `pidfd` is the monitor's, `watched` and `pid` are init's: when init ends and the
 * monitor lives on, the container boots again.
 */
#include "pty/targets/keep_container.h"
#include "pty/pack.h"
#include "pty/target.h"
#include "pty/targets/lxc.h"
#include "pty/targets/process.h"
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

const enum console_kind target_kind = CONSOLE_CONTAINER;

/* --- errands --- */

/* What has to be done once all has ended; `gone` afterwards. */
static void begin_clean(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (target->errand != ERRAND_NONE)
		end_errand(keeper);
	target->wanted = -1;
	target->cut = false;
	/* ECHILD: none, for what has ended counts no more (SIGCHLD). Of one that is not ours it would be a relay. */
	target->alone = !target->ours || waitpid(-1, NULL, WNOHANG) < 0;
	target->gone = begin_errand(keeper, ERRAND_CLEAN) < 0;
	close_fd(&keeper->watched);
}

static void refuse(struct keeper *keeper, int code, const char *why)
{
	struct error error = {0};

	error_set(&error, code, "freezer: %s", why);
	keeper_refuse(keeper, &error);
}

static void begin_freeze(struct keeper *keeper)
{
	int r = begin_errand(keeper, ERRAND_FREEZE);

	keeper->target->wanted = -1;
	if (r < 0)
		refuse(keeper, r, strerror(-r));
}

static void note_processes(struct keeper *keeper, struct job_report *report)
{
	struct target *target = keeper->target;
	struct foreign *found = &report->found;

	close_fd(&keeper->pidfd);
	close_fd(&keeper->watched);
	keeper->pidfd = move_fd(&found->monitor_pidfd);
	keeper->watched = move_fd(&found->init_pidfd);
	keeper->frozen = report->frozen;
	target->halt = report->halt;
	target->insisted = false;
	if (target->ours) {
		cgroups_note(&target->cgroups, found->monitor);
		cgroups_note(&target->cgroups, found->init);
	}
}

/* --- what errands bring --- */

static void on_started(struct keeper *keeper, struct job_report *report, pid_t job, int job_pidfd)
{
	if (report->found.init > 0) {
		note_processes(keeper, report);
		replace_input(keeper, &report->found.master);
		keeper->pid = report->found.init;
	} else { /* it has ended already: its job stands for it, which has ended too */
		keeper->pid = job;
		keeper->pidfd = fcntl(job_pidfd, F_DUPFD_CLOEXEC, 0);
	}
	keeper_begin(keeper);
}

static void on_taken(struct keeper *keeper, struct job_report *report)
{
	struct foreign *found = &report->found;
	struct target *target = keeper->target;
	int r = 0;

	target->ours = found->ours;
	keeper->pid = found->init;
	note_processes(keeper, report);
	if (found->ours) {
		r = take_own_console(keeper, found);
		if (r < 0) {
			error_set(&keeper->error, r, "console: %s", strerror(-r));
			close_fd(&keeper->watched);
			keeper_fail(keeper);
			return;
		}
		keeper_resume(keeper);
		begin_errand(keeper, ERRAND_FIND); /* how it is shut down, whether it is frozen, and its input */
		return;
	}
	take_foreign_console(keeper, found);
	keeper_begin(keeper);
	append_file(keeper, found->history, 0);
}

/* It runs. Its init may have become another meanwhile. */
static void on_found(struct keeper *keeper, struct job_report *report)
{
	struct foreign *found = &report->found;
	struct target *target = keeper->target;
	bool frozen = keeper->frozen, deaf = keeper->deaf;

	note_processes(keeper, report);
	keeper->deaf = false;
	if (target->ours)
		replace_input(keeper, &found->master);
	else
		take_foreign_console(keeper, found);
	if (found->init != keeper->pid)
		keeper_reboot(keeper, found->init, MIN(target->boundary, ring_head(&keeper->ring)));
	else if (keeper->news || keeper->frozen != frozen || deaf)
		keeper_tell(keeper);
	append_file(keeper, found->history, 0);
	if (keeper->stopping) /* it was told to the last boot's init, or not with the right signal */
		target_signal(keeper, TARGET_END);
}

/* Somebody else had the console's slot the last time. */
static void on_taken_again(struct keeper *keeper, struct job_report *report)
{
	struct foreign *found = &report->found;

	if (found->init != keeper->pid) /* `watched` tells */
		return;
	if (found->kind == CONSOLE_OUTPUT_ALL || found->master >= 0) {
		take_foreign_console(keeper, found);
		keeper_tell(keeper);
	}
	append_file(keeper, found->history, 0);
}

static void on_input(struct keeper *keeper, struct job_report *report)
{
	if (report->found.init != keeper->pid) /* `watched` tells */
		return;
	replace_input(keeper, &report->found.master);
	keeper_tell(keeper);
}

static void on_done(struct keeper *keeper, enum errand errand, struct job_report *report, const struct job *job)
{
	switch (errand) {
	case ERRAND_START:
		on_started(keeper, report, job->pid, job->pidfd);
		return;
	case ERRAND_TAKE:
		on_taken(keeper, report);
		return;
	case ERRAND_TAKE_AGAIN:
	case ERRAND_FIND:
		on_found(keeper, report);
		return;
	case ERRAND_AGAIN:
		on_taken_again(keeper, report);
		return;
	case ERRAND_INPUT:
		on_input(keeper, report);
		return;
	case ERRAND_FREEZE:
		keeper_frozen(keeper, report->frozen);
		return;
	default:
		return;
	}
}

static void on_failure(struct keeper *keeper, enum errand errand, const struct job_report *report)
{
	struct target *target = keeper->target;

	switch (errand) {
	case ERRAND_START:
		keeper->error = report->error;
		begin_clean(keeper);
		return;
	case ERRAND_TAKE:
		keeper->error = report->error;
		keeper_fail(keeper);
		return;
	case ERRAND_TAKE_AGAIN: /* either its end follows, or there is no more to be had of it */
		keeper->kind = CONSOLE_OUTPUT_HISTORY;
		keeper_tell(keeper);
		return;
	case ERRAND_FIND: /* its end follows */
		if (target->file)
			keeper_read_from(keeper, target->output, target->ready, keeper->kind);
		return;
	case ERRAND_FREEZE:
		cgroups_thaw(keeper->pid);
		keeper_refuse(keeper, &report->error);
		return;
	default:
		return;
	}
}

static void on_cleaned(struct keeper *keeper)
{
	keeper->target->gone = true;
	if (keeper->phase == KEEPER_STARTING)
		keeper_fail(keeper);
}

/* The boundary between two boots: see work_find(). */
static void on_boundary(struct keeper *keeper)
{
	struct target *target = keeper->target;

	target->boundary = ring_head(&keeper->ring);
	if (target->file) /* the job goes on from here */
		keeper_read_from(keeper, -1, -1, keeper->kind);
}

/* What had to wait for the last errand. ERRAND_AGAIN is what is done when there is nothing else. */
static void begin_next(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (target->errand == ERRAND_AGAIN)
		end_errand(keeper);
	if (target->errand == ERRAND_NONE && target->wanted >= 0)
		begin_freeze(keeper);
	if (target->errand == ERRAND_NONE && target->cut) {
		target->cut = false;
		begin_errand(keeper, ERRAND_INPUT); /* if it cannot be forked, there is input from the next boot on */
	}
	if (target->errand == ERRAND_NONE && keeper->phase == KEEPER_RUNNING && keeper->watched >= 0 &&
	    keeper->kind == CONSOLE_OUTPUT_HISTORY)
		begin_errand(keeper, ERRAND_AGAIN);
}

void target_on_report(struct keeper *keeper)
{
	struct target *target = keeper->target;
	enum errand errand = target->errand;
	struct job job = target->job;
	struct job_report report;

	if (job_hear(keeper->report, &report) < 0)
		return;
	if (report.more) {
		on_boundary(keeper);
		return;
	}
	close_fd(&keeper->report);
	target->errand = ERRAND_NONE;
	target->job.pidfd = -1;
	if (errand == ERRAND_CLEAN)
		on_cleaned(keeper);
	else if (report.error.code == 0)
		on_done(keeper, errand, &report, &job);
	else
		on_failure(keeper, errand, &report);
	foreign_finish(&report.found);
	job_finish(&job);
	begin_next(keeper);
}

void target_on_input_lost(struct keeper *keeper)
{
	struct target *target = keeper->target;

	close_fd(&keeper->input);
	target->cut = true;
	begin_next(keeper);
}

void target_on_watched(struct keeper *keeper)
{
	struct target *target = keeper->target;

	close_fd(&keeper->watched);
	if (target->errand == ERRAND_FREEZE) {
		end_errand(keeper);
		refuse(keeper, -EBUSY, "it is just ending, or booting again");
	}
	if (target->errand == ERRAND_INPUT || target->errand == ERRAND_AGAIN)
		end_errand(keeper);
	target->cut = false; /* the next boot has its own */
	keeper->deaf = true;
	keeper_tell(keeper);
	if (target->errand == ERRAND_NONE)
		begin_errand(keeper, ERRAND_FIND); /* if it cannot be forked, at least its end is seen */
}

/* --- target.h --- */

int target_open(struct keeper *keeper, const void *packed, size_t length)
{
	struct target *target = malloc(sizeof(*target));
	int r;

	if (!target)
		return -ENOMEM;
	*target = (struct target){.ours = true, .job.pidfd = -1, .wanted = -1, .output = -1, .ready = -1, .slot = -1};
	r = unpack_container(packed, length, &target->container);
	if (r < 0) {
		free(target);
		return r;
	}
	target->take = target->container->running;
	keeper->target = target;
	keeper->restart = CONSOLE_RESTART_NO;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGCHLD, SIG_IGN); /* the kernel reaps jobs and monitors: their status tells nothing */
	return 0;
}

void target_close(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (!target)
		return;
	forget_console(target);
	job_finish(&target->job);
	cgroups_finish(&target->cgroups);
	free(target->container);
	free(target);
}

/* What liblxc starts takes over what we may do (SECURITY.md). */
int target_confine(struct keeper *keeper)
{
	return 0;
}

int target_start(struct keeper *keeper)
{
	struct target *target = keeper->target;
	bool take_on = target->take;
	int r = 0;

	target->take = target->gone = target->insisted = false;
	cgroups_finish(&target->cgroups);
	if (!take_on)
		r = prepare_terminal(keeper);
	if (r < 0)
		return error_set(&keeper->error, r, "terminal: %s", strerror(-r));
	r = begin_errand(keeper, take_on ? ERRAND_TAKE : ERRAND_START);
	return r < 0 ? error_set(&keeper->error, r, "fork: %s", strerror(-r)) : 0;
}

/* One of ours: whether its init is still the one that was told, and how it can be shut down, is looked up at once. */
static int adopt_ours(struct keeper *keeper)
{
	pid_t monitor = process_of(keeper->pidfd);

	keeper->slave = terminal_hold_slave(keeper->master);
	if (keeper->slave < 0)
		return keeper->slave;
	if (process_is_init(keeper->pid)) /* no other has come by its pid */
		keeper->watched = pidfd_open(keeper->pid, 0);
	if (monitor > 0)
		cgroups_note(&keeper->target->cgroups, monitor);
	if (keeper->watched >= 0)
		cgroups_note(&keeper->target->cgroups, keeper->pid);
	return begin_errand(keeper, ERRAND_FIND);
}

int target_adopt(struct keeper *keeper, const struct wire_state *state)
{
	struct target *target = keeper->target;

	keeper->pid = state->pid;
	target->take = false;
	target->boundary = ring_head(&keeper->ring);
	target->ours =
		keeper->master >= 0; /* none of somebody else's containers has a terminal that a daemon would keep */
	if (target->ours)
		return adopt_ours(keeper);
	if (process_is_init(keeper->pid))
		keeper->watched = pidfd_open(keeper->pid, 0);
	find_log_file(keeper);
	keeper_read_from(keeper, -1, -1, CONSOLE_OUTPUT_ALL);
	return begin_errand(keeper, ERRAND_TAKE_AGAIN);
}

/* As liblxc's shutdown does it: SIGRTMIN+3 for systemd, which waits for it. Whether init is listening yet. */
static bool end_init(const struct keeper *keeper)
{
	int halt = keeper->target->halt;

	if (halt <= 0)
		halt = process_blocks(keeper->pid, SIGRTMIN + 3) ? SIGRTMIN + 3 : SIGPWR;
	pidfd_send_signal(keeper->watched, halt, NULL, 0);
	return process_handles(keeper->pid, halt);
}

/* When there is no init (any more), the monitor is about to end, or to boot again; unless it hangs. */
static void kill_init(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (keeper->watched >= 0)
		pidfd_send_signal(keeper->watched, SIGKILL, NULL, 0);
	else if (target->insisted)
		pidfd_send_signal(keeper->pidfd, SIGKILL, NULL, 0);
	target->insisted = true;
}

static void cancel_start(struct keeper *keeper)
{
	error_set(&keeper->error, -ECANCELED, "It was stopped while it was being started");
	if (keeper->target->errand == ERRAND_START) {
		begin_clean(keeper);
	} else if (keeper->target->errand == ERRAND_TAKE) {
		end_errand(keeper);
		keeper_fail(keeper);
	}
}

bool target_signal(struct keeper *keeper, enum target_request request)
{
	bool heard = true;

	if (keeper->phase == KEEPER_DRAINING)
		return false;
	if (keeper->phase == KEEPER_STARTING) {
		cancel_start(keeper);
		return true;
	}
	if (request == TARGET_KILL)
		kill_init(keeper);
	else if (keeper->watched >= 0) /* or else the next boot's init hears it: on_found() */
		heard = end_init(keeper);
	if (request == TARGET_KILL || keeper->frozen)
		cgroups_thaw(keeper->pid); /* or it would not see the signal */
	if (keeper->frozen)
		keeper_frozen(keeper, false);
	return heard;
}

void target_freeze(struct keeper *keeper, bool frozen)
{
	keeper->target->wanted = frozen;
	begin_next(keeper);
}

void target_on_exit(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (keeper->watched >= 0) { /* its monitor was killed */
		pidfd_send_signal(keeper->watched, SIGKILL, NULL, 0);
		cgroups_thaw(keeper->pid);
	}
	if (target->file && target->output < 0)
		append_rest(keeper);
	else if (target->file) /* ERRAND_FIND may have had it */
		keeper_read_from(keeper, target->output, target->ready, keeper->kind);
	keeper->ours = true;
	keeper->survivors = false;
	close_fd(&keeper->slave);
	begin_clean(keeper);
}

bool target_gone(const struct keeper *keeper)
{
	return keeper->target->gone;
}

void target_finish(struct keeper *keeper)
{
	struct target *target = keeper->target;

	forget_log_file(keeper);
	forget_console(target);
	cgroups_finish(&target->cgroups);
}
