// SPDX-License-Identifier: Apache-2.0
/* What a viewer of a graphical console gets of its machine's SPICE server; that is the one of spice.c. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define ROUND_TRIPS 2000

static struct options graphical(const struct options *options)
{
	struct options side = *options;

	side.vga = true;
	return side;
}

static double megabytes_per_second(uint64_t length, int64_t started)
{
	return (double)length * 1e3 / (double)(clock_now() - started);
}

/* Reads the pattern's first `length` bytes. */
static void read_pattern(struct link *link, const struct pattern *pattern, uint64_t length)
{
	const unsigned char *data;

	for (uint64_t at = 0, n; at < length; at += n) {
		n = link_peek(link, &data);
		if (n == 0)
			errx(1, "the console ended after %llu of %llu bytes", (unsigned long long)at,
			     (unsigned long long)length);
		if (n > length - at)
			n = length - at;
		if (memcmp(data, pattern_at(pattern, at), n) != 0)
			errx(1, "bytes were lost or changed in the %llu behind offset %llu", (unsigned long long)n,
			     (unsigned long long)at);
		link_consume(link, n);
	}
}

static double stream_out(const struct options *side, const struct pattern *pattern)
{
	uint64_t length = (uint64_t)side->count * SPICE_MESSAGE;
	struct session session = SESSION_NONE;
	int64_t started;
	double rate;

	session_open(&session, side);
	started = clock_now();
	spice_ask(&session.data, SPICE_SEND, length);
	read_pattern(&session.data, pattern, length);
	rate = megabytes_per_second(length, started);
	session_finish(&session);
	return rate;
}

static double stream_in(const struct options *side, const struct pattern *pattern)
{
	uint64_t length = (uint64_t)side->count * SPICE_MESSAGE;
	struct session session = SESSION_NONE;
	const unsigned char *data;
	int64_t started;
	double rate;

	session_open(&session, side);
	started = clock_now();
	spice_ask(&session.data, SPICE_TAKE, length);
	for (uint64_t at = 0; at < length; at += SPICE_MESSAGE)
		link_write(&session.data, pattern_at(pattern, at), SPICE_MESSAGE);
	if (link_peek(&session.data, &data) != 1)
		errx(1, "the SPICE server did not get what was sent");
	rate = megabytes_per_second(length, started);
	link_consume(&session.data, 1);
	session_finish(&session);
	return rate;
}

/* Fills `times`; ROUND_TRIPS of them. */
static void round_trips(const struct options *side, int64_t *times)
{
	struct session session = SESSION_NONE;

	session_open(&session, side);
	spice_ask(&session.data, SPICE_ECHO, 0);
	for (size_t i = 0; i < ROUND_TRIPS; i++)
		times[i] = echo_once(&session.data);
	session_finish(&session);
}

json_t *section_vga(const struct options *options)
{
	const struct options side = graphical(options);
	cleanup_free struct pattern *pattern = pattern_create();
	double out = stream_out(&side, pattern), in = stream_in(&side, pattern);
	int64_t times[ROUND_TRIPS];

	round_trips(&side, times);
	return json_pack("{s:f, s:f, s:f, s:f}", "out_mb_s", out, "in_mb_s", in, "p50_us",
			 (double)percentile(times, ROUND_TRIPS, 0.5) / 1e3, "p99_us",
			 (double)percentile(times, ROUND_TRIPS, 0.99) / 1e3);
}

/* --- viewers that do not read --- */

#define ENDLESS (UINT64_C(1) << 60)
#define RESUMED (UINT64_C(4) << 20) /* what a viewer reads when it reads again */

/* A viewer of the instance with that number; of a bare server there is no more than one. */
static void open_viewer(struct session *session, const struct options *options, size_t number)
{
	struct options side = graphical(options);
	char name[64];

	snprintf(name, sizeof(name), "%s-%zu", options->instance ? options->instance : "", number);
	side.instance = name;
	*session = (struct session)SESSION_NONE;
	session_open(session, &side);
	if (session->http.fd >= 0)
		http_close(&session->http); /* its connection is not a part of the viewer */
}

static void close_viewer(struct session *session, const struct options *options)
{
	link_close(&session->data);
	if (options->socket)
		http_open(&session->http, options->socket);
	session_finish(session);
}

/* Until every viewer's socket has got something, and none gets any more. */
static void wait_for_silence(const struct session *viewers, size_t count)
{
	long before, unread = 0;
	bool all;

	do {
		before = unread;
		unread = 0;
		all = true;
		pause_for(0.2);
		for (size_t i = 0; i < count; i++) {
			int queued;

			if (ioctl(viewers[i].data.fd, FIONREAD, &queued) < 0)
				err(1, "FIONREAD");
			unread += queued;
			all = all && queued > 0;
		}
	} while (!all || unread != before);
}

/*
 * `count` viewers that are sent more than they ever read, and one more that is watched. Each is a viewer of a machine
 * of its own: `instance` and a number.
 */
json_t *section_viewers(const struct options *options)
{
	size_t count = (size_t)options->count;
	cleanup_free struct session *viewers = calloc(count + 1, sizeof(*viewers));
	cleanup_free struct pattern *pattern = pattern_create();
	pid_t server = listener_pid(options->socket ? options->socket : options->relay);
	int before = descriptors(server);
	struct link *watched;
	double beside;
	long kb;

	if (!viewers)
		err(1, NULL);
	open_viewer(&viewers[count], options, count);
	watched = &viewers[count].data;
	spice_ask(watched, SPICE_ECHO, 0);
	echo_median(watched, ROUND_TRIPS, 0); /* the server allocates what it has once for all */
	kb = private_kb(server);
	for (size_t i = 0; i < count; i++) {
		open_viewer(&viewers[i], options, i);
		spice_ask(&viewers[i].data, SPICE_SEND, ENDLESS);
	}
	wait_for_silence(viewers, count);
	kb = private_kb(server) - kb;
	beside = echo_median(watched, ROUND_TRIPS, 0);
	for (size_t i = 0; i < count; i++)
		read_pattern(&viewers[i].data, pattern, RESUMED);
	for (size_t i = 0; i <= count; i++)
		close_viewer(&viewers[i], options);
	return json_pack("{s:f, s:f, s:i}", "each_kb", (double)kb / options->count, "p50_us", beside,
			 "descriptors_left", descriptors_left(server, before));
}
