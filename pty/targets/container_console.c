// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/keep_container.h"
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>

/* In run/NAME: `shift` and the path of the container's own log file, where that is read. */
#define PLACE "log-file"

/* --- as it is found --- */

void forget_console(struct target *target)
{
	if (target->ready != target->output)
		close_fd(&target->ready);
	close_fd(&target->output);
	close_fd(&target->slot);
	target->ready = -1;
	target->file = false;
}

static void replace_master(struct keeper *keeper, int master)
{
	close_fd(&keeper->master);
	keeper->master = master;
	keeper->news = true;
}

/* Gives a terminal the size of the one that it comes after: liblxc knows only what it was at the start. */
static void pass_size(int from, int to)
{
	struct winsize size;

	if (from >= 0 && ioctl(from, TIOCGWINSZ, &size) == 0)
		ioctl(to, TIOCSWINSZ, &size);
}

void replace_input(struct keeper *keeper, int *input)
{
	if (*input < 0)
		return;
	pass_size(keeper->input, *input);
	close_fd(&keeper->input);
	keeper->input = move_fd(input);
	keeper->news = true;
}

/* Notes where the log file is, for the next keeper. */
static void store_place(const struct keeper *keeper)
{
	cleanup_close int fd =
		openat(keeper->directory, PLACE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	char link[32], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", keeper->target->output);
	if (fd >= 0 && readlink(link, path, sizeof(path) - 1) > 0)
		dprintf(fd, "%" PRId64 " %s", keeper->target->shift, path);
}

/* Reads it again; `path` only if it is not NULL. */
static bool load_place(const struct keeper *keeper, int64_t *shift, char *path)
{
	cleanup_close int fd = openat(keeper->directory, PLACE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[PATH_MAX + 32] = "";
	int length = 0;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	if (sscanf(text, "%" SCNd64 " %n", shift, &length) != 1)
		return false;
	return !path || snprintf(path, PATH_MAX, "%s", text + length) < PATH_MAX;
}

void append_file(struct keeper *keeper, int file, off_t at)
{
	char part[16384];
	ssize_t length;

	while ((length = pread(file, part, sizeof(part), at)) > 0) {
		ring_append(&keeper->ring, part, (size_t)length);
		at += length;
		eventfd_write(keeper->eventfd, 1);
	}
}

void append_rest(struct keeper *keeper)
{
	char path[PATH_MAX];
	cleanup_close int file = -1;
	int64_t shift;

	if (!load_place(keeper, &shift, path))
		return;
	file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file >= 0)
		append_file(keeper, file, (off_t)((int64_t)ring_head(&keeper->ring) + shift));
}

/*
 * The console of a container that somebody else has started. A monitor that is just ending may answer no more, though
 * its container's last words are in the log file: a known one holds until there is something better.
 */
void take_foreign_console(struct keeper *keeper, struct foreign *found)
{
	struct target *target = keeper->target;
	bool same = found->ready == found->output;

	replace_input(keeper, &found->master);
	if (target->file && found->output < 0) {
		keeper_read_from(keeper, target->output, target->ready,
				 target->output < 0 ? found->kind : CONSOLE_OUTPUT_ALL);
		return;
	}
	forget_console(target);
	target->output = move_fd(&found->output);
	target->ready = same ? target->output : found->ready;
	found->ready = -1;
	target->slot = move_fd(&found->slot);
	target->file = found->file;
	if (found->file) {
		target->shift = (int64_t)found->position - (int64_t)ring_head(&keeper->ring);
		store_place(keeper);
	}
	keeper_read_from(keeper, target->output, target->ready, found->kind);
}

int take_own_console(struct keeper *keeper, struct foreign *found)
{
	replace_master(keeper, move_fd(&found->master));
	found->output = found->ready = -1;
	keeper_read_from(keeper, keeper->master, keeper->master, CONSOLE_OUTPUT_ALL);
	keeper->slave = terminal_hold_slave(keeper->master);
	return keeper->slave;
}

bool find_log_file(struct keeper *keeper)
{
	keeper->target->file = load_place(keeper, &keeper->target->shift, NULL);
	return keeper->target->file;
}

void forget_log_file(const struct keeper *keeper)
{
	unlinkat(keeper->directory, PLACE, 0);
}

/* --- as it is made --- */

/*
 * liblxc makes the console's peer cooked when it opens it, and so each "\r\n" of the container "\r\r\n"; a lock keeps
 * it raw. (Only root can set one, and so only for root it matters.)
 */
static void lock_raw(int slave)
{
	struct termios settings, lock;

	memset(&lock, 0, sizeof(lock));
	ioctl(slave, TIOCSLCKTRMIOS, &lock); /* of an earlier start */
	if (tcgetattr(slave, &settings) < 0)
		return;
	cfmakeraw(&settings);
	tcsetattr(slave, TCSANOW, &settings);
	memset(&lock, 0xff, sizeof(lock));
	ioctl(slave, TIOCSLCKTRMIOS, &lock);
	tcflush(slave, TCIFLUSH); /* input that was meant for an earlier boot */
}

int prepare_terminal(struct keeper *keeper)
{
	struct target *target = keeper->target;

	if (!target->ours || keeper->master < 0) {
		int master = terminal_open(target->container->width, target->container->height);

		if (master < 0)
			return master;
		forget_console(target);
		replace_master(keeper, master);
		target->ours = true;
	}
	if (keeper->input >= 0) { /* it led to the last boot */
		pass_size(keeper->input, keeper->master);
		close_fd(&keeper->input);
		keeper->news = true;
	}
	keeper->slave = terminal_hold_slave(keeper->master);
	if (keeper->slave < 0)
		return keeper->slave;
	lock_raw(keeper->slave);
	keeper_read_from(keeper, keeper->master, keeper->master, CONSOLE_OUTPUT_ALL);
	return 0;
}
