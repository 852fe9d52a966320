// SPDX-License-Identifier: Apache-2.0
/* How long a picture of a machine's screen takes, through the API and by QEMU's monitor into a file. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <string.h>

/* What tests/guests/vbe shows. */
#define WIDTH 1280
#define HEIGHT 800

/* The beginning and the end of a PNG (PNG specification, 5.2, 11.2.2 and 11.2.5). */
static void check_picture(const char *png, size_t length)
{
	static const char begin[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", end[] = "\0\0\0\0IEND\xae\x42\x60\x82";
	uint32_t size[2];

	if (length < 64 || memcmp(png, begin, 16) != 0 || memcmp(png + length - 12, end, 12) != 0)
		errx(1, "%zu bytes that are not a picture", length);
	memcpy(size, png + 16, sizeof(size));
	if (be32toh(size[0]) != WIDTH || be32toh(size[1]) != HEIGHT)
		errx(1, "a picture of %ux%u", be32toh(size[0]), be32toh(size[1]));
}

/* --- QEMU's monitor (QMP) --- */

static json_t *monitor_read(FILE *monitor)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	json_t *message = getline(&line, &size, monitor) > 0 ? json_loads(line, 0, NULL) : NULL;

	if (!message)
		errx(1, "QEMU's monitor has ended");
	return message;
}

/* Asks, and waits for the answer. `arguments` is consumed, NULL: none. */
static void monitor_call(FILE *monitor, const char *command, json_t *arguments)
{
	json_auto_t *request = json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments);
	cleanup_free char *text = json_dumps(request, JSON_COMPACT);
	json_t *error;
	bool answered;

	if (!text)
		err(1, NULL);
	write_all(fileno(monitor), text, strlen(text));
	do {
		json_auto_t *message = monitor_read(monitor);

		error = json_object_get(message, "error");
		if (error)
			errx(1, "%s: %s", command, json_string_value(json_object_get(error, "desc")));
		answered = json_object_get(message, "return") != NULL;
	} while (!answered);
}

static FILE *monitor_open(const char *path)
{
	FILE *monitor = fdopen(unix_connect(path), "r");

	if (!monitor)
		err(1, NULL);
	json_decref(monitor_read(monitor)); /* its greeting */
	monitor_call(monitor, "qmp_capabilities", NULL);
	return monitor;
}

/* --- the section --- */

/* Nanoseconds until the picture is in the file. */
static int64_t take_by_monitor(FILE *monitor, const char *path)
{
	int64_t started = clock_now(), taken;
	cleanup_free char *png = NULL;
	size_t length;

	monitor_call(monitor, "screendump", json_pack("{s:s, s:s}", "filename", path, "format", "png"));
	taken = clock_now();
	png = read_file(path, &length);
	check_picture(png, length);
	return taken - started;
}

static int64_t take_by_api(struct http *http, const char *instance)
{
	int64_t started = clock_now(), taken;
	struct answer answer;
	char target[128];

	snprintf(target, sizeof(target), "/1.0/instances/%s/console?type=vga", instance);
	http_send(http, "GET", target, NULL);
	http_receive(http, &answer);
	taken = clock_now();
	if (answer.status != 200)
		errx(1, "GET %s: %d %.*s", target, answer.status, (int)answer.length, answer.body);
	check_picture(answer.body, answer.length);
	return taken - started;
}

json_t *section_screenshot(const struct options *options)
{
	size_t count = (size_t)options->count;
	cleanup_free int64_t *times = calloc(count, sizeof(*times));
	FILE *monitor = options->relay ? monitor_open(options->relay) : NULL;
	struct http http = {.fd = -1};

	if (!times)
		err(1, NULL);
	if (!monitor)
		http_open(&http, options->socket);
	for (size_t i = 0; i < count; i++)
		times[i] = monitor ? take_by_monitor(monitor, options->target) : take_by_api(&http, options->instance);
	if (monitor)
		fclose(monitor);
	http_close(&http);
	return json_pack("{s:f, s:f}", "p50_ms", (double)percentile(times, count, 0.5) / 1e6, "p95_ms",
			 (double)percentile(times, count, 0.95) / 1e6);
}
