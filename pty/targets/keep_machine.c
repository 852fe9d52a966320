// SPDX-License-Identifier: Apache-2.0
/*
 * target.h for a QEMU virtual machine. `master` is where its first serial port's output comes from, and is the daemon's
 * too, so that what QEMU prints last is not lost with a keeper; `input` is where it reads. `report` is its monitor
 * (QMP): it tells of resets, stops and, by hanging up, of a start that has failed.
 */
#include "bridge/qmp.h"
#include "pty/pack.h"
#include "pty/target.h"
#include "pty/targets/disk.h"
#include "pty/targets/qemu.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/privilege.h"

#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/*
 * QEMU may be another user by then: its signals, its place (/proc/PID/cwd). Disks to be looked at are whoever's. FIFOs
 * are large, however many there are.
 */
#define PRIVILEGES \
	(PRIVILEGE(CAP_KILL) | PRIVILEGE(CAP_SYS_PTRACE) | PRIVILEGE(CAP_DAC_OVERRIDE) | PRIVILEGE(CAP_SYS_RESOURCE))

#define READ_SIZE 4096
#define PRESS_EVERY 1000                    /* ms */
#define RESETS_APART (INT64_C(2) * 1000000) /* microseconds */

struct target {
	struct console_machine *machine;
	struct buffer heard; /* from the monitor */
	bool take;           /* it is to be found running, and its log to go on; once */
	bool taken;          /* it was started by an earlier keeper */
	bool cancelled;      /* ended by us while it was STARTING */
	bool freezing;       /* it was asked to stop or to go on, last with the question `freeze`, and has not told */
	json_int_t freeze;
	bool asked_to_quit;
	int64_t pressed_at;  /* the power button, last */
	int64_t reset_at;    /* microseconds, by QEMU's clock */
	uint64_t reset_head; /* then */
};

/* The ids of what the answer matters to. */
enum question {
	QUESTION_NONE,
	QUESTION_STATUS,
	QUESTION_FREEZE, /* and all that follow, one for each time */
};

const enum console_kind target_kind = CONSOLE_MACHINE;

/* --- the monitor --- */

static int say(struct keeper *keeper, const char *command, json_int_t question)
{
	cleanup_free char *line = qmp_command(command, NULL, question);

	if (!line)
		return -ENOMEM;
	/* A few bytes: they fit, or QEMU has not listened for long. */
	return send(keeper->report, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* It may be stopped already, by its options or by somebody else. */
static void introduce(struct keeper *keeper)
{
	say(keeper, "qmp_capabilities", QUESTION_NONE);
	say(keeper, "query-status", QUESTION_STATUS);
}

static void drop_monitor(struct keeper *keeper)
{
	close_fd(&keeper->report);
	buffer_finish(&keeper->target->heard);
}

static void refuse(struct keeper *keeper, const char *words)
{
	struct error error = {0};

	error_set(&error, -EIO, "QEMU: %s", words);
	keeper_refuse(keeper, &error);
}

/* Takes what waits in the FIFO: it was printed before what the monitor has just told. */
static void read_waiting(struct keeper *keeper)
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

/* A PC's BIOS that finds itself begun anew resets once more, at once: that is no boot of its own. */
static void on_reset(struct keeper *keeper, int64_t time)
{
	struct target *target = keeper->target;
	bool soon = time - target->reset_at < RESETS_APART;
	uint64_t head;

	read_waiting(keeper);
	head = ring_head(&keeper->ring);
	if (!soon || head != target->reset_head)
		keeper_reboot(keeper, keeper->pid, head);
	target->reset_at = time;
	target->reset_head = head;
}

static void on_event(struct keeper *keeper, const struct qmp_message *message)
{
	bool stopped = strcmp(message->name, "STOP") == 0;

	if (keeper->phase != KEEPER_RUNNING)
		return;
	if (strcmp(message->name, "RESET") == 0)
		on_reset(keeper, message->time);
	if (!stopped && strcmp(message->name, "RESUME") != 0)
		return;
	keeper->target->freezing = false;
	keeper_frozen(keeper, stopped);
}

static void on_status(struct keeper *keeper, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));
	bool frozen = json_is_false(json_object_get(data, "running"));

	if (status && strcmp(status, "suspended") == 0) /* by the guest itself, and only it can go on */
		frozen = false;
	if (keeper->frozen != frozen)
		keeper_frozen(keeper, frozen);
}

/* The answer comes behind its event, unless there was nothing to do. */
static void on_frozen(struct keeper *keeper, json_int_t question)
{
	struct target *target = keeper->target;

	if (!target->freezing || question != target->freeze)
		return;
	target->freezing = false;
	keeper_tell(keeper);
}

/* It answers: from here on it runs. */
static void on_answer(struct keeper *keeper)
{
	if (keeper->phase != KEEPER_STARTING)
		return;
	if (keeper->target->take)
		keeper_resume(keeper);
	else
		keeper_begin(keeper);
	keeper->target->take = false;
}

static void on_message(struct keeper *keeper, const struct qmp_message *message)
{
	switch (message->kind) {
	case QMP_GREETING: /* a thread of its own says that, while devices are still being made, or refused */
		return;
	case QMP_EVENT:
		on_event(keeper, message);
		return;
	case QMP_RETURN:
		if (message->id == QUESTION_STATUS) {
			on_answer(keeper);
			on_status(keeper, message->data);
		} else if (message->id >= QUESTION_FREEZE) {
			on_frozen(keeper, message->id);
		}
		return;
	case QMP_ERROR:
		if (message->id >= QUESTION_FREEZE)
			refuse(keeper, message->name);
		return;
	}
}

/* Hears what has come. -EPIPE: QEMU has hung up; -EBADMSG: it talks nonsense. */
static int hear(struct keeper *keeper)
{
	struct target *target = keeper->target;
	struct qmp_message message;
	char data[READ_SIZE];
	ssize_t length = recv(keeper->report, data, sizeof(data), MSG_DONTWAIT);
	int r;

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (length <= 0)
		return -EPIPE;
	r = buffer_append(&target->heard, data, (size_t)length, 2 * QMP_LINE_MAX);
	while (r == 0) {
		r = qmp_take(&target->heard, &message);
		if (r < 0)
			break;
		on_message(keeper, &message);
		qmp_finish(&message);
	}
	return r == -EAGAIN ? 0 : r;
}

/* --- starting --- */

static void use_fifos(struct keeper *keeper, int output, int input)
{
	close_fd(&keeper->master);
	close_fd(&keeper->input);
	keeper->master = output;
	keeper->input = input;
	keeper->news = true;
	keeper_read_from(keeper, output, output, CONSOLE_OUTPUT_ALL);
}

/* Goes on with one that runs in the directory. -ESRCH: none does. */
static int take_on(struct keeper *keeper)
{
	cleanup_close int pidfd = qemu_find(keeper->directory, &keeper->pid);
	int output, input, r;

	if (pidfd < 0)
		return pidfd;
	r = qemu_open_fifos(keeper->directory, &output, &input);
	if (r < 0)
		return r;
	use_fifos(keeper, output, input);
	r = qemu_connect(keeper->directory);
	if (r < 0)
		return r;
	keeper->report = r;
	keeper->pidfd = move_fd(&pidfd);
	keeper->target->taken = true;
	return 0;
}

/* Of other disks (the user's own, in raw.qemu) it is not our business what they name. */
static int check_disk(const char *drive, struct error *error)
{
	json_auto_t *options = NULL;
	const char *driver, *path;
	enum disk_format format;
	bool block;
	int r = json_parse(&options, drive, strlen(drive), 0, NULL);

	if (r == -ENOMEM)
		return error_set(error, r, "disk: %s", strerror(ENOMEM));
	driver = json_string_value(json_object_get(options, "driver"));
	path = json_string_value(json_object_get(json_object_get(options, "file"), "filename"));
	if (!driver || !path || strcmp(driver, "qcow2") != 0 || !json_is_null(json_object_get(options, "backing")))
		return 0;
	r = disk_examine(path, &format, &block, error);
	return r == -EINVAL ? r : 0;
}

/*
 * A restart is prepared while the guest still runs, and what is one's raw disk then may have got another header since.
 * Now nobody writes it: a qcow2 that is not to name other files must not.
 */
static int check_disks(char *const *argv, struct error *error)
{
	int r = 0;

	for (; r == 0 && argv[0] && argv[1]; argv++)
		if (strcmp(argv[0], "-blockdev") == 0)
			r = check_disk(argv[1], error);
	return r;
}

static int start_new(struct keeper *keeper)
{
	int output, input, r;

	r = qemu_make_fifos(keeper->directory);
	if (r == 0)
		r = qemu_open_fifos(keeper->directory, &output, &input);
	if (r < 0)
		return r;
	use_fifos(keeper, output, input);
	r = qemu_spawn(keeper->directory, keeper->target->machine, &keeper->pidfd, &keeper->report);
	if (r < 0)
		qemu_remove_files(keeper->directory);
	else
		keeper->pid = r;
	return MIN(r, 0);
}

/*
 * QEMU, which root starts, gets all of root's as it is executed, and gives it up by itself; no_new_privs would keep it
 * from that, and qemu-bridge-helper(1) from what it is for.
 */
int target_confine(struct keeper *keeper)
{
	return privilege_keep(PRIVILEGES);
}

int target_start(struct keeper *keeper)
{
	struct target *target = keeper->target;
	int r;

	target->taken = target->cancelled = target->freezing = target->asked_to_quit = false;
	target->pressed_at = target->reset_at = 0;
	r = take_on(keeper); /* the last keeper may have died before it could tell that it had started one */
	if (r == -ESRCH && target->take)
		return error_set(&keeper->error, r, "It does not run");
	if (r == -ESRCH && check_disks(target->machine->argv, &keeper->error) < 0)
		return keeper->error.code;
	if (r == -ESRCH)
		r = start_new(keeper);
	if (r < 0)
		return error_set(&keeper->error, r, "QEMU: %s", strerror(-r));
	introduce(keeper);
	return 0;
}

static void fail(struct keeper *keeper)
{
	struct target *target = keeper->target;

	pidfd_send_signal(keeper->pidfd, SIGKILL, NULL, 0);
	waitpid(keeper->pid, NULL, 0); /* it has hung up as it ended, or is dead now */
	if (target->cancelled)
		error_set(&keeper->error, -ECANCELED, "It was stopped while it was being started");
	else
		qemu_last_words(target->machine, &keeper->error);
	qemu_remove_files(keeper->directory);
	keeper_fail(keeper);
}

/* --- target.h --- */

int target_open(struct keeper *keeper, const void *packed, size_t length)
{
	struct target *target = calloc(1, sizeof(*target));
	int r = target ? unpack_machine(packed, length, &target->machine) : -ENOMEM;

	if (r < 0) {
		free(target);
		return r;
	}
	target->take = target->machine->running;
	target->freeze = QUESTION_FREEZE;
	keeper->target = target;
	keeper->restart = CONSOLE_RESTART_NO;
	keeper->pending_max = UINT64_MAX; /* nobody writes behind its end */
	return 0;
}

void target_close(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (!target)
		return;
	buffer_finish(&target->heard);
	free(target->machine);
	free(target);
}

void target_on_report(struct keeper *keeper)
{
	if (hear(keeper) == 0)
		return;
	drop_monitor(keeper); /* if it runs, its end is about to be seen; or it goes on without monitor */
	if (keeper->phase == KEEPER_STARTING)
		fail(keeper);
}

void target_on_watched(struct keeper *keeper)
{
}

void target_on_input_lost(struct keeper *keeper)
{
	close_fd(&keeper->input); /* a FIFO that is open both ways never hangs up */
}

/* Without its monitor it can still be read, typed into and killed. */
int target_adopt(struct keeper *keeper, const struct wire_state *state)
{
	int output, input, r;

	keeper->target->take = false;
	keeper->pid = state->pid;
	if (keeper->master < 0 || keeper->input < 0) {
		r = qemu_open_fifos(keeper->directory, &output, &input);
		if (r < 0)
			return r;
		use_fifos(keeper, output, input);
	}
	r = qemu_connect(keeper->directory);
	if (r < 0)
		return 0;
	keeper->report = r;
	introduce(keeper);
	return 0;
}

/* Nobody tells whether the guest has heard it: one that is just booting has not, so it is pressed again and again. */
static void press_power_button(struct keeper *keeper)
{
	int64_t now = keeper_now();

	if (now - keeper->target->pressed_at < PRESS_EVERY)
		return;
	keeper->target->pressed_at = now;
	if (keeper->frozen)
		say(keeper, "cont", QUESTION_NONE);
	say(keeper, "system_powerdown", QUESTION_NONE);
}

/* Asked, it writes out what it has not yet written to its disks. It is asked once. */
static void quit(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (target->asked_to_quit || say(keeper, "quit", QUESTION_NONE) < 0)
		pidfd_send_signal(keeper->pidfd, SIGKILL, NULL, 0);
	target->asked_to_quit = true;
}

bool target_signal(struct keeper *keeper, enum target_request request)
{
	if (keeper->phase == KEEPER_DRAINING)
		return false;
	if (keeper->phase == KEEPER_STARTING) {
		keeper->target->cancelled = true;
		pidfd_send_signal(keeper->pidfd, SIGKILL, NULL, 0);
		return true;
	}
	if (request == TARGET_KILL)
		quit(keeper);
	else
		press_power_button(keeper);
	return request == TARGET_KILL;
}

void target_freeze(struct keeper *keeper, bool frozen)
{
	struct target *target = keeper->target;
	int r = say(keeper, frozen ? "stop" : "cont", ++target->freeze);

	target->freezing = r == 0;
	if (r < 0)
		refuse(keeper, strerror(-r));
}

void target_on_exit(struct keeper *keeper)
{
	siginfo_t info;

	/* Not our child: its status comes from the daemon, if it is that one's; what was taken on is nobody's. */
	keeper->ours =
		keeper->target->taken || waitid(P_PIDFD, (id_t)keeper->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
	keeper->survivors = false;
	drop_monitor(keeper);
}

bool target_gone(const struct keeper *keeper)
{
	return true;
}

void target_finish(struct keeper *keeper)
{
	int status;

	if (waitpid(keeper->pid, &status, WNOHANG) == keeper->pid) {
		keeper->exit.status = status;
		keeper->exit.known = true;
	}
	qemu_remove_files(keeper->directory);
}
