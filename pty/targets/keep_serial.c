// SPDX-License-Identifier: Apache-2.0
/*
 * target.h for a serial device. There is no process: `pid` is 0 throughout, and `pidfd` an eventfd that target_signal()
 * writes to. The line is `master`, of which the daemon has a descriptor too, so that nothing is lost with a keeper;
 * `input` is the same once more, and tells of a hang-up: the adapter has been unplugged. Then it runs on, `deaf`, until
 * the path leads to a line again; that is a new boot. `watched` tells that it may, and `report` is a timer: of the
 * start, and of the next try, for not everything tells.
 */
#include "pty/confinement.h"
#include "pty/pack.h"
#include "pty/target.h"
#include "pty/targets/path_watch.h"
#include "pty/targets/serial.h"
#include "util/cleanup.h"
#include "util/privilege.h"

#include <asm/termbits.h> /* struct termios2, for what ioctls are called */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#define TRY_EVERY 5000 /* ms */
#define TRY_APART 100  /* ms; a directory may be busy for other reasons */
#define STEADY 1000    /* ms; a line that hangs up sooner would do so again */
#define LAST_WORDS 500 /* ms that what was typed has to be sent before the end; the keeper looks again then */

/* Devices belong to whomever, and one that a killed keeper had may still be TIOCEXCL. */
#define PRIVILEGES (PRIVILEGE(CAP_DAC_OVERRIDE) | PRIVILEGE(CAP_SYS_ADMIN))

/* Of serial.c, uucp_lock.c and path_watch.c, by whichever of its names the C library calls them. */
static const int calls[] = {
	SYS_openat,
	SYS_fcntl,
	SYS_flock,
	SYS_fchmod,
	SYS_fstat,
	SYS_newfstatat,
	SYS_statx,
#ifdef SYS_readlink
	SYS_readlink,
	SYS_link,
	SYS_unlink,
#endif
	SYS_readlinkat,
	SYS_linkat,
	SYS_unlinkat,
	SYS_getpid,
	SYS_kill, /* 0: is it there? */
	SYS_eventfd2,
	SYS_timerfd_create,
	SYS_timerfd_settime,
	SYS_inotify_init1,
	SYS_inotify_add_watch,
	-1,
};

static const unsigned long requests[] = {
	FIONREAD, TCGETS, TCGETS2, TCSETS2, TCFLSH, TIOCOUTQ, TIOCMGET, TIOCEXCL, TIOCNXCL, 0,
};

struct target {
	struct console_serial *config;
	struct serial *line; /* NULL: it is away */
	int64_t opened_at, tried_at;
};

const enum console_kind target_kind = CONSOLE_SERIAL;

/* --- the line comes and goes --- */

static void arm(struct keeper *keeper, int64_t delay)
{
	struct itimerspec when = {.it_value = {.tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000 + 1}};

	timerfd_settime(keeper->report, 0, &when, NULL);
}

static void use_line(struct keeper *keeper)
{
	int fd = serial_fd(keeper->target->line);

	keeper->master = fd;
	if (keeper->input < 0)
		keeper->input = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	keeper->target->opened_at = keeper_now();
	keeper_read_from(keeper, fd, fd, CONSOLE_OUTPUT_ALL);
}

static int open_line(struct keeper *keeper, struct error *error)
{
	struct target *target = keeper->target;
	int r = serial_open(&target->line, target->config, error);

	if (r < 0)
		return r;
	use_line(keeper);
	keeper->news = true;
	return 0;
}

static void close_line(struct keeper *keeper)
{
	serial_close(move_pointer(keeper->target->line));
	keeper->master = -1;
	close_fd(&keeper->input);
	keeper_read_from(keeper, -1, -1, CONSOLE_OUTPUT_ALL);
}

static void wait_for_line(struct keeper *keeper)
{
	close_fd(&keeper->watched);
	keeper->watched = path_watch(keeper->target->config->device);
	arm(keeper, TRY_EVERY);
}

static void try_again(struct keeper *keeper)
{
	keeper->target->tried_at = keeper_now();
	wait_for_line(keeper); /* first: what comes while we look is not missed */
	if (open_line(keeper, NULL) < 0)
		return;
	close_fd(&keeper->watched);
	keeper->deaf = false;
	keeper_reboot(keeper, 0, ring_head(&keeper->ring));
}

static void on_unplugged(struct keeper *keeper)
{
	bool steady = keeper_now() - keeper->target->opened_at >= STEADY;

	close_line(keeper);
	keeper->deaf = true;
	keeper_tell(keeper);
	if (steady)
		try_again(keeper);
	else
		wait_for_line(keeper);
}

/* --- target.h --- */

int target_open(struct keeper *keeper, const void *packed, size_t length)
{
	struct target *target = calloc(1, sizeof(*target));
	int r = target ? unpack_serial(packed, length, &target->config) : -ENOMEM;

	if (r < 0) {
		free(target);
		return r;
	}
	keeper->target = target;
	keeper->restart = CONSOLE_RESTART_NO;
	return 0;
}

void target_close(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (!target)
		return;
	serial_close(target->line);
	free(target->config);
	free(target);
}

static int make_events(struct keeper *keeper)
{
	keeper->pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	keeper->report = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (keeper->pidfd < 0 || keeper->report < 0)
		return -errno;
	arm(keeper, 0);
	return 0;
}

static void close_events(struct keeper *keeper)
{
	close_fd(&keeper->report);
	close_fd(&keeper->watched);
}

int target_confine(struct keeper *keeper)
{
	return confine(&(struct confinement){.privileges = PRIVILEGES, .calls = calls, .requests = requests});
}

int target_start(struct keeper *keeper)
{
	int r = make_events(keeper);

	if (r < 0)
		error_set(&keeper->error, r, "keeper: %s", strerror(-r));
	else
		r = open_line(keeper, &keeper->error);
	if (r < 0)
		close_events(keeper);
	return r;
}

void target_on_report(struct keeper *keeper)
{
	uint64_t count;

	if (read(keeper->report, &count, sizeof(count)) < 0)
		return;
	if (keeper->phase == KEEPER_STARTING)
		keeper_begin(keeper);
	else if (keeper->phase == KEEPER_RUNNING && !keeper->target->line)
		try_again(keeper);
}

void target_on_watched(struct keeper *keeper)
{
	int64_t next = keeper->target->tried_at + TRY_APART, now = keeper_now();
	char events[4096];

	while (read(keeper->watched, events, sizeof(events)) > 0)
		;
	if (keeper->phase == KEEPER_RUNNING)
		arm(keeper, MAX(next - now, 0));
}

void target_on_input_lost(struct keeper *keeper)
{
	on_unplugged(keeper);
}

/* Of one that is away, the timer tries at once. */
int target_adopt(struct keeper *keeper, const struct wire_state *state)
{
	int r = make_events(keeper);

	if (r < 0 || keeper->master < 0)
		return r;
	r = serial_adopt(&keeper->target->line, keeper->target->config, keeper->master);
	if (r == 0)
		use_line(keeper);
	return r;
}

bool target_signal(struct keeper *keeper, enum target_request request)
{
	struct target *target = keeper->target;

	if (request == TARGET_KILL && target->line)
		serial_discard_unsent(target->line);
	if (keeper->phase == KEEPER_DRAINING)
		return false;
	eventfd_write(keeper->pidfd, 1);
	return true;
}

void target_freeze(struct keeper *keeper, bool frozen)
{
	struct error error = {0};

	error_set(&error, -EOPNOTSUPP, "A serial device cannot be frozen: what is at its other end is not ours");
	keeper_refuse(keeper, &error);
}

static bool has_unsent(const struct keeper *keeper)
{
	return keeper->target->line && serial_unsent(keeper->target->line) > 0;
}

/* A line has no end of its own. What is in it at this moment belongs to the log. */
static void read_last(struct keeper *keeper)
{
	int waiting = 0;

	ioctl(keeper->master, FIONREAD, &waiting);
	while (waiting > 0 && !keeper_held(keeper)) {
		uint64_t room = keeper->limit - ring_head(&keeper->ring);
		ssize_t got = ring_append_from(&keeper->ring, keeper->master, MIN((size_t)waiting, room));

		if (got <= 0)
			return;
		waiting -= (int)got;
	}
}

void target_on_exit(struct keeper *keeper)
{
	keeper->ours = true;
	keeper->survivors = false;
	close_events(keeper);
	if (!keeper->target->line || has_unsent(keeper))
		return; /* read on meanwhile */
	read_last(keeper);
	keeper_read_from(keeper, -1, -1, CONSOLE_OUTPUT_ALL);
}

bool target_gone(const struct keeper *keeper)
{
	return !has_unsent(keeper) || keeper_now() - keeper->ended_at >= LAST_WORDS;
}

void target_finish(struct keeper *keeper)
{
	close_line(keeper);
}
