// SPDX-License-Identifier: Apache-2.0
/*
 * QEMU writes the picture into a memfd of ours, a file without a name. It is given a descriptor for writing alone, as
 * QEMU insists, and has it in a set (`add-fd`), a set being what its `screendump` can write to besides files by name.
 *
 * How much it writes has no bound but its own memory, which is what it writes to: QEMU 7.2 aborts when it cannot write
 * its PNG. What we read has one.
 */
#include "spice/screenshot.h"
#include "spice/monitor.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Our set's number; one that nobody takes by chance who has sets of their own in raw.qemu. */
#define SET 1668247155

enum step {
	CLEAR, /* what a visit has left that was broken off: QEMU keeps it as long as there is any visitor, or keeper */
	GIVE,
	DUMP,
	TAKE_BACK,
	STEPS,
};

struct screenshot {
	struct monitor *monitor;
	struct monitor_step steps[STEPS + 1];
	json_t *set, *dump; /* arguments */
	int picture;
	int given; /* the same, for writing */
	screenshot_done done;
	void *user;
};

static void destroy(struct screenshot *screenshot)
{
	json_decref(screenshot->set);
	json_decref(screenshot->dump);
	close_fd(&screenshot->picture);
	close_fd(&screenshot->given);
	free(screenshot);
}

void screenshot_cancel(struct screenshot *screenshot)
{
	if (!screenshot)
		return;
	monitor_cancel(screenshot->monitor);
	destroy(screenshot);
}

/* --- the picture --- */

static int make_picture(struct screenshot *screenshot)
{
	char path[32];

	screenshot->picture = memfd_create("screenshot", MFD_CLOEXEC);
	if (screenshot->picture < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", screenshot->picture);
	screenshot->given = open(path, O_WRONLY | O_CLOEXEC);
	return screenshot->given < 0 ? -errno : 0;
}

/* From its signature to its last chunk, which is always the same (PNG specification, sections 5.2 and 11.2.5). */
static bool is_png(const char *data, size_t length)
{
	static const char first[] = {'\x89', 'P', 'N', 'G', '\r', '\n', '\x1a', '\n'};
	static const char last[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', '\xae', '\x42', '\x60', '\x82'};

	return length >= sizeof(first) + sizeof(last) && memcmp(data, first, sizeof(first)) == 0 &&
	       memcmp(data + length - sizeof(last), last, sizeof(last)) == 0;
}

/* QEMU may change it even now: what counts is the copy. */
static int read_picture(int fd, char **png, size_t *length, struct error *error)
{
	cleanup_free char *data = NULL;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size > SCREENSHOT_MAX)
		return error_set(error, -EFBIG, "The picture has more than %d MiB", SCREENSHOT_MAX / (1024 * 1024));
	*length = (size_t)status.st_size;
	data = malloc(*length + 1);
	if (!data)
		return -ENOMEM;
	if (pread(fd, data, *length, 0) != (ssize_t)*length || !is_png(data, *length))
		return error_set(error, -EBADMSG, "QEMU's picture is not a whole PNG");
	*png = move_pointer(data);
	return 0;
}

/* --- the visit --- */

static void on_visited(struct monitor *monitor, void *user, const struct error *error)
{
	struct screenshot *screenshot = user;
	screenshot_done done = screenshot->done;
	struct error reason = {0};
	size_t length = 0;
	char *png = NULL;

	user = screenshot->user;
	if (!error) {
		reason.code = read_picture(screenshot->picture, &png, &length, &reason);
		error = &reason;
	}
	destroy(screenshot);
	done(user, png, length, png ? NULL : error);
}

static int plan(struct screenshot *screenshot)
{
	screenshot->set = json_pack("{s:i}", "fdset-id", SET);
	screenshot->dump = json_pack("{s:o, s:s}", "filename", json_sprintf("/dev/fdset/%d", SET), "format", "png");
	if (!screenshot->set || !screenshot->dump)
		return -ENOMEM;
	screenshot->steps[CLEAR] = (struct monitor_step){"remove-fd", screenshot->set, .may_fail = true};
	screenshot->steps[GIVE] = (struct monitor_step){"add-fd", screenshot->set, .fd = screenshot->given};
	screenshot->steps[DUMP] = (struct monitor_step){"screendump", screenshot->dump};
	screenshot->steps[TAKE_BACK] = (struct monitor_step){"remove-fd", screenshot->set};
	return 0;
}

int screenshot_take(struct screenshot **result, uv_loop_t *loop, int directory, unsigned int timeout_ms,
		    screenshot_done done, void *user, struct error *error)
{
	struct screenshot *screenshot = calloc(1, sizeof(*screenshot));
	int r;

	if (!screenshot)
		return -ENOMEM;
	screenshot->picture = screenshot->given = -1;
	screenshot->done = done;
	screenshot->user = user;
	r = make_picture(screenshot);
	if (r == 0)
		r = plan(screenshot);
	if (r == 0)
		r = monitor_visit(&screenshot->monitor, loop, directory, screenshot->steps, timeout_ms, on_visited,
				  screenshot, error);
	if (r < 0)
		destroy(screenshot);
	else
		*result = screenshot;
	return r;
}
