// SPDX-License-Identifier: Apache-2.0
/* What blocks, or may: done by jobs (job.h). */
#include "pty/targets/keep_container.h"
#include "pty/targets/lxc.h"
#include "pty/targets/monitor.h"
#include "pty/targets/process.h"
#include "pty/targets/relay.h"
#include "util/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/param.h>
#include <unistd.h>

#define TAKE_MAX 10   /* s for the monitor of a container that is taken on to answer */
#define CUT_PAUSE 100 /* ms */
#define FREEZE_MAX 10 /* s */
#define AGAIN 5000    /* ms between looks whether the console's slot is free */
#define BOOT_PAUSE 1  /* ms between looks whether the next init is there */
#define PATIENCE 5000 /* ms for a monitor that is ending by itself */
#define EMPTY_MAX 500 /* ms for cgroups to become empty behind their last process */

#define TAIL_MAX (UINT64_C(256) * 1024) /* see struct foreign_past; twice what liblxc keeps by default */

/* --- in the job --- */

/*
 * The monitor reads the terminal and would pass on what is typed there, but it hangs, and with it the output, while the
 * container does not read its input. So that goes by the monitor, through a relay of its own.
 */
static void find_input(struct job_report *message)
{
	struct monitor monitor = {.pid = message->found.monitor,
				  .init = message->found.init,
				  .pidfd = message->found.monitor_pidfd,
				  .init_pidfd = message->found.init_pidfd};
	cleanup_close int console = message->found.init > 0 ? monitor_console(&monitor) : -1;

	if (console >= 0)
		message->found.master = relay_start(console, monitor.pidfd);
}

static void work_start(struct keeper *keeper, int report)
{
	struct job_report message = JOB_REPORT_NONE;

	ring_close(&keeper->ring); /* the monitor is a fork of ours and would keep it mapped */
	container_start(keeper->target->container, keeper->master, &message);
	find_input(&message);
	job_tell(report, &message);
}

/* Copies the log's last bytes. */
static size_t copy_tail(const struct ring *ring, char *tail, size_t size)
{
	uint64_t head = ring_head(ring), lost;
	uint64_t offset = head - MIN(head - ring_tail(ring), size);

	return ring_read(ring, &offset, tail, size, &lost);
}

/* `known`: the log may have what liblxc still has. */
static void take(struct keeper *keeper, bool known, struct job_report *message)
{
	const struct target *target = keeper->target;
	cleanup_free char *tail = malloc(TAIL_MAX);
	struct foreign_past past = {.room = keeper->ring.capacity, .position = -1, .tail = tail};
	int r;

	alarm(TAKE_MAX);
	if (tail && known)
		past.tail_length = copy_tail(&keeper->ring, tail, TAIL_MAX);
	if (target->file)
		past.position = (int64_t)ring_head(&keeper->ring) + target->shift;
	r = foreign_take(target->container, &past, &message->found, &message->error);
	if (r == -ESRCH && container_find(target->container, message) == 0) { /* it was just starting */
		foreign_finish(&message->found);
		message->error = (struct error){0};
		r = foreign_take(target->container, &past, &message->found, &message->error);
	}
	if (r == 0 && !message->found.ours)
		container_look(target->container, message); /* ours may be hung until it is read: ERRAND_FIND looks */
}

static void work_take(struct keeper *keeper, int report)
{
	struct job_report message = JOB_REPORT_NONE;

	take(keeper, true, &message);
	job_tell(report, &message);
}

/* What liblxc gives has been printed since the last time. */
static void work_again(struct keeper *keeper, int report)
{
	struct job_report message = JOB_REPORT_NONE;

	poll(NULL, 0, AGAIN);
	take(keeper, false, &message);
	if (keeper->input >= 0) /* and is as good */
		close_fd(&message.found.master);
	job_tell(report, &message);
}

/*
 * Until the monitor has another init, or has ended. It has passed on all that the last boot has printed by then, and
 * the next init has its root to set up before it can print: what the keeper has read now is the boundary. (Unless it is
 * held: then it is somewhat early.)
 */
static void wait_for_boot(const struct keeper *keeper)
{
	struct pollfd end = {.fd = keeper->pidfd, .events = POLLIN};
	pid_t monitor = process_of(keeper->pidfd), init = keeper->pid;

	while (monitor > 0 && (init == 0 || init == keeper->pid) && poll(&end, 1, BOOT_PAUSE) == 0)
		init = monitor_init(monitor);
}

static void work_find(struct keeper *keeper, int report)
{
	struct job_report message = JOB_REPORT_NONE;

	if (keeper->watched < 0)
		wait_for_boot(keeper);
	message.more = true;
	job_tell(report, &message);
	message.more = false;
	if (container_find(keeper->target->container, &message) < 0) {
		error_set(&message.error, -ESRCH, "It has ended");
	} else if (!keeper->target->ours) { /* a reboot gives it another console */
		foreign_finish(&message.found);
		take(keeper, true, &message);
	} else if (message.found.init != keeper->pid || keeper->input < 0) {
		find_input(&message);
	}
	job_tell(report, &message);
}

/* Without liblxc, whose monitor may be hung. Where it gets lost at once again, not as fast as can be. */
static void work_input(struct keeper *keeper, int report)
{
	struct job_report message = JOB_REPORT_NONE;
	struct foreign *found = &message.found;
	struct monitor monitor;

	poll(NULL, 0, CUT_PAUSE);
	if (monitor_find(&monitor, keeper->target->container) == 0) {
		found->init = monitor.init;
		found->init_pidfd = monitor.init_pidfd;
		found->monitor = monitor.pid;
		found->monitor_pidfd = monitor.pidfd;
		find_input(&message);
	}
	job_tell(report, &message);
}

static void work_freeze(struct keeper *keeper, int report)
{
	struct job_report message = JOB_REPORT_NONE;

	alarm(FREEZE_MAX);
	message.frozen = keeper->target->wanted > 0;
	container_freeze(keeper->target->container, message.frozen, &message.error);
	job_tell(report, &message);
}

/* Until init has ended, and the keeper has no child but this job; those that do not end are killed. */
static void wait_for_end(const struct keeper *keeper)
{
	int64_t until = keeper_now() + (keeper->stopping ? 0 : PATIENCE);
	struct pollfd init = {.fd = keeper->watched, .events = POLLIN};

	if (init.fd >= 0)
		poll(&init, 1, -1);
	if (keeper->target->alone)
		return;
	while (process_signal_children(getppid(), getpid(), keeper_now() < until ? 0 : SIGKILL) > 0)
		poll(NULL, 0, 2);
}

static void work_clean(struct keeper *keeper, int report)
{
	const struct target *target = keeper->target;
	struct job_report message = JOB_REPORT_NONE;

	if (keeper->phase == KEEPER_STARTING && keeper->stopping)
		monitor_kill(target->container, keeper->master); /* the start may be an earlier keeper's */
	wait_for_end(keeper);
	if (target->ours) {
		for (int i = 0; i < EMPTY_MAX && cgroups_remove(&target->cgroups) > 0; i++)
			poll(NULL, 0, 1);
		cgroups_remove_of(target->container->name); /* of a start that was not seen to its end, by any keeper */
		container_remove_locks(target->container);
	}
	job_tell(report, &message);
}

/* --- in the keeper --- */

int begin_errand(struct keeper *keeper, enum errand errand)
{
	static void (*const work[])(struct keeper * keeper, int report) = {
		[ERRAND_START] = work_start,   [ERRAND_TAKE] = work_take,   [ERRAND_TAKE_AGAIN] = work_take,
		[ERRAND_AGAIN] = work_again,   [ERRAND_FIND] = work_find,   [ERRAND_INPUT] = work_input,
		[ERRAND_FREEZE] = work_freeze, [ERRAND_CLEAN] = work_clean,
	};
	struct target *target = keeper->target;
	int r = job_start(&target->job, work[errand], keeper);

	if (r < 0)
		return r;
	keeper->report = r;
	target->errand = errand;
	return 0;
}

void end_errand(struct keeper *keeper)
{
	close_fd(&keeper->report);
	job_finish(&keeper->target->job);
	keeper->target->errand = ERRAND_NONE;
}
