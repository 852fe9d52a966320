// SPDX-License-Identifier: Apache-2.0
/*
 * A virtual machine's life and its serial console, with the guest of tests/guests/bootsector.S; and QEMU with nothing
 * between its console and this process.
 */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FIFO_SIZE (1024 * 1024)
#define BOOT_LIMIT 30000 /* milliseconds */
#define ECHOES 500

/* --- QEMU alone --- */

/* `flags` without O_NONBLOCK wait for QEMU, which is not there yet (fifo(7)). */
static int open_fifo(const char *fifo, const char *end, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s.%s", fifo, end);
	unlink(path);
	fd = mkfifo(path, 0600) < 0 ? -1 : open(path, flags | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETFL, 0) < 0)
		err(1, "%s", path);
	fcntl(fd, F_SETPIPE_SZ, FIFO_SIZE);
	return fd;
}

pid_t machine_start(const char *fifo, char *const *program, int *output, int *input)
{
	pid_t pid;

	*output = open_fifo(fifo, "out", O_RDONLY);
	*input = open_fifo(fifo, "in", O_RDWR);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		execvp(program[0], program);
		err(1, "%s", program[0]);
	}
	return pid;
}

/* --- the section --- */

#define FLOOD "\x06" /* has the guest print this: */
#define FLOOD_LINES 4096
#define FLOOD_LENGTH (FLOOD_LINES * 16)

static double stream(struct link *link)
{
	cleanup_free char *text = malloc(FLOOD_LENGTH + 1);
	int64_t started;

	if (!text)
		err(1, NULL);
	for (int i = 0; i < FLOOD_LINES; i++)
		sprintf(text + i * 16, "%04x abcdefghi\r\n", i);
	started = clock_now();
	link_write(link, FLOOD, 1);
	read_exactly(link, text, FLOOD_LENGTH);
	return FLOOD_LENGTH * 1e6 / (double)(clock_now() - started);
}

static void measure_console(struct link *link, json_t *figures)
{
	int64_t times[ECHOES];

	for (size_t i = 0; i < ECHOES; i++)
		times[i] = echo_once(link);
	json_object_set_new(figures, "p50_us", json_real((double)percentile(times, ECHOES, 0.5) / 1e3));
	json_object_set_new(figures, "p99_us", json_real((double)percentile(times, ECHOES, 0.99) / 1e3));
	json_object_set_new(figures, "kb_s", json_real(stream(link)));
}

/* Nanoseconds until the guest says that it is ready. */
static int64_t start(struct session *session, struct http *http, const struct options *options)
{
	int64_t started = clock_now();

	if (options->socket)
		change_state(http, options, "start");
	session_open(session, options); /* of a server's, from the boot's first byte, since it is us who started it */
	if (!read_until(&session->data, "ready\r\n", BOOT_LIMIT))
		errx(1, "the guest does not get ready");
	return clock_now() - started;
}

static int64_t stop(struct session *session, struct http *http, const struct options *options)
{
	int64_t started = clock_now();

	session_detach(session); /* which ends a machine of ours */
	return options->socket ? change_state(http, options, "stop") : clock_now() - started;
}

/* A server's machine is stopped before and after: its guest never rests. */
json_t *section_machine(const struct options *options)
{
	size_t count = (size_t)options->count;
	cleanup_free int64_t *starts = calloc(count, sizeof(*starts)), *stops = calloc(count, sizeof(*stops));
	struct session session = SESSION_NONE;
	struct http http = {.fd = -1};
	json_t *figures = json_object();

	if (!starts || !stops)
		err(1, NULL);
	if (options->socket)
		http_open(&http, options->socket);
	for (size_t i = 0; i < count; i++) {
		starts[i] = start(&session, &http, options);
		if (i == count - 1)
			measure_console(&session.data, figures);
		stops[i] = stop(&session, &http, options);
	}
	session_finish(&session);
	http_close(&http);
	json_object_set_new(figures, "start_p50_ms", json_real((double)percentile(starts, count, 0.5) / 1e6));
	json_object_set_new(figures, "stop_p50_ms", json_real((double)percentile(stops, count, 0.5) / 1e6));
	return figures;
}
