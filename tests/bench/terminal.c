// SPDX-License-Identifier: Apache-2.0
/*
 * What a person at a console feels: how soon it answers, how fast it echoes, how fast it prints. Every side runs a
 * shell, and the bytes are read and written by the same code.
 */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

#define KEY 'Z' /* what is typed and echoed; nothing here prints it otherwise */

bool read_until(struct link *link, const char *text, int milliseconds)
{
	const unsigned char *data;
	size_t matched = 0;

	while (text[matched] != '\0') {
		if (!link_wait(link, milliseconds))
			return false;
		if (link_peek(link, &data) == 0)
			errx(1, "the console ended while waiting for \"%s\"", text);
		if (data[0] == (unsigned char)text[matched])
			matched++;
		else
			matched = data[0] == (unsigned char)text[0];
		link_consume(link, 1);
	}
	return true;
}

/* Reads the rest of a line, which must be empty. Returns with how many \r it ends: LXD's console makes three of one. */
static int read_line_end(struct link *link)
{
	const unsigned char *data;
	int returns = 0;

	while (link_peek(link, &data) > 0 && *data == '\r') {
		link_consume(link, 1);
		returns++;
	}
	if (link->ended || *data != '\n')
		errx(1, "a line does not end with \\r\\n");
	link_consume(link, 1);
	return returns;
}

/*
 * LXD types ESC c at each detach and may lose what is typed early, so the line is typed again if the mark does not
 * come. The mark is escaped so that the echo of the line is not taken for it; without quotes, since half of a line with
 * quotes would make the shell wait for the other.
 */
int shell_run(struct link *link, const char *command)
{
	char line[512];
	int length = snprintf(line, sizeof(line), "echo \\<go\\>; %s\n", command);

	for (int attempt = 0; attempt < 5; attempt++) {
		link_write(link, line, (size_t)length);
		if (read_until(link, "<go>", 2000))
			return read_line_end(link);
		link_write(link, "\nquit\n", 6);
	}
	errx(1, "the shell does not answer");
}

/*
 * The kernel's terminal echoes the keys; this takes the lines they make, and prints each. It ends without ^C, which
 * does nothing on the console of a container whose shell has no controlling terminal.
 */
#define READ_LINES "while read -r line; do [ \"$line\" = quit ] && break; echo \"$line\"; done"

/* Ends READ_LINES and waits for the shell to work again. */
static void end_lines(struct link *link)
{
	link_write(link, "\nquit\n", 6);
	shell_run(link, ":");
}

/* --- attach --- */

/* From before the request to the first echoed byte. Adds to `retyped`. */
static int64_t attach_once(struct session *session, const struct options *options, int *retyped)
{
	int64_t started = clock_now(), answered;
	const char key = KEY, stop[] = {KEY, '\0'};

	session_open(session, options);
	link_write(&session->data, &key, 1);
	while (!read_until(&session->data, stop, options->lxd ? LXD_RETYPE : -1)) {
		link_write(&session->data, &key, 1);
		(*retyped)++;
	}
	answered = clock_now();
	return answered - started;
}

/* Ends the line and counts the keys in what the shell makes of it: those that arrived. */
static int keys_arrived(struct link *link)
{
	const unsigned char *data;
	int keys = 0;

	link_write(link, "\n", 1);
	read_until(link, "\n", -1);
	do {
		if (link_peek(link, &data) == 0)
			errx(1, "the console ended");
		keys += *data == KEY;
		link_consume(link, 1);
	} while (*data != '\n');
	return keys;
}

json_t *section_attach(const struct options *options)
{
	cleanup_free int64_t *times = calloc((size_t)options->count, sizeof(*times));
	struct session session = SESSION_NONE;
	int retyped = 0, arrived = 0;
	size_t count = (size_t)options->count;

	if (!times)
		err(1, NULL);
	session_open(&session, options);
	shell_run(&session.data, READ_LINES);
	session_detach(&session);
	for (int i = 0; i < options->count; i++) {
		times[i] = attach_once(&session, options, &retyped);
		arrived += keys_arrived(&session.data);
		session_detach(&session);
	}
	session_open(&session, options);
	end_lines(&session.data);
	session_finish(&session);
	return json_pack("{s:f, s:f, s:i}", "p50_ms", (double)percentile(times, count, 0.5) / 1e6, "p99_ms",
			 (double)percentile(times, count, 0.99) / 1e6, "lost", options->count + retyped - arrived);
}

/* --- echo --- */

int64_t echo_once(struct link *link)
{
	const unsigned char *data;
	const char key = KEY;
	int64_t started = clock_now(), echoed;

	link_write(link, &key, 1);
	if (link_peek(link, &data) == 0)
		errx(1, "the console ended");
	echoed = clock_now();
	if (*data != KEY)
		errx(1, "typed 0x%02x, echoed 0x%02x", KEY, *data);
	link_consume(link, 1);
	return echoed - started;
}

double echo_median(struct link *link, size_t count, double pause)
{
	cleanup_free int64_t *times = calloc(count, sizeof(*times));

	if (!times)
		err(1, NULL);
	for (size_t i = 0; i < count; i++) {
		times[i] = echo_once(link);
		if (pause > 0)
			pause_for(pause);
	}
	return (double)percentile(times, count, 0.5) / 1e3;
}

json_t *section_echo(const struct options *options)
{
	cleanup_free int64_t *times = calloc((size_t)options->count, sizeof(*times));
	struct session session = SESSION_NONE;
	size_t count = (size_t)options->count;

	if (!times)
		err(1, NULL);
	session_open(&session, options);
	shell_run(&session.data, READ_LINES);
	for (int i = 0; i < options->count; i++) {
		times[i] = echo_once(&session.data);
		if (i % 64 == 63 && keys_arrived(&session.data) != 64) /* a terminal's line has an end */
			errx(1, "keys were lost");
	}
	end_lines(&session.data);
	session_finish(&session);
	return json_pack("{s:f, s:f}", "p50_us", (double)percentile(times, count, 0.5) / 1e3, "p99_us",
			 (double)percentile(times, count, 0.99) / 1e3);
}

/* --- stream --- */

/* The numbers from 1 to `count`, each followed by `returns` times \r and a \n. */
static char *numbers(int count, int returns, size_t *length)
{
	char *text = malloc((size_t)count * (size_t)(12 + returns)), *at = text;

	if (!text)
		err(1, NULL);
	for (int i = 1; i <= count; i++) {
		at += sprintf(at, "%d", i);
		memset(at, '\r', (size_t)returns);
		at += returns;
		*at++ = '\n';
	}
	*length = (size_t)(at - text);
	return text;
}

void read_exactly(struct link *link, const char *text, size_t length)
{
	const unsigned char *data;

	for (size_t done = 0, n; done < length; done += n) {
		n = link_peek(link, &data);
		if (n == 0)
			errx(1, "the console ended after %zu of %zu bytes", done, length);
		if (n > length - done)
			n = length - done;
		if (memcmp(data, text + done, n) != 0)
			errx(1, "bytes were lost or changed in the %zu behind offset %zu", n, done);
		link_consume(link, n);
	}
}

json_t *section_stream(const struct options *options)
{
	struct session session = SESSION_NONE;
	cleanup_free char *text = NULL;
	char command[256];
	int64_t started;
	double seconds;
	size_t length;
	int returns;

	session_open(&session, options);
	returns = shell_run(&session.data, ":");
	text = numbers(options->count, returns, &length);
	snprintf(command, sizeof(command), "%s; echo end", options->command);
	shell_run(&session.data, command);
	started = clock_now();
	read_exactly(&session.data, text, length);
	seconds = (double)(clock_now() - started) / 1e9;
	read_exactly(&session.data, "end", 3);
	if (read_line_end(&session.data) != returns)
		errx(1, "lines end differently");
	session_finish(&session);
	length -= (size_t)options->count * (size_t)returns; /* the program's own bytes, whatever becomes of line ends */
	return json_pack("{s:f, s:I, s:i}", "mb_s", (double)length / 1e6 / seconds, "bytes", (json_int_t)length,
			 "returns", returns);
}
