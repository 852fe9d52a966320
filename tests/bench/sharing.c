// SPDX-License-Identifier: Apache-2.0
/* Many sessions on one console, and sessions that begin with what was printed before. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <string.h>

#define PAUSE 1e-3  /* seconds: between the keys of somebody who types; still fast, but others are served by then */
#define ECHOES 200  /* with that in between */
#define FLUENT 1000 /* without it: what is typed meets the daemon at what the key before has left it to do */
#define STALLED 10  /* so that what one of them costs is more than a page */
#define FLOOD (512 * 1024) /* more than a socket's buffer, less than the log holds */
#define PIECE 4096         /* what a terminal takes at once */
#define LAST "<last>"      /* what everybody has to get in the end */
#define READ_LIMIT 10000   /* milliseconds */
#define READY "ready"      /* the end of a log */

static const char *flood_at(const struct pattern *pattern, uint64_t at)
{
	return (const char *)pattern_at(pattern, at);
}

/* What is typed comes back. */
static void flood(struct link *link, const struct pattern *pattern)
{
	for (uint64_t at = 0; at < FLOOD; at += PIECE) {
		link_write(link, flood_at(pattern, at), PIECE);
		read_exactly(link, flood_at(pattern, at), PIECE);
	}
}

static void open_watcher(struct session *session, const struct options *options)
{
	struct options side = *options;

	side.watch = true;
	*session = (struct session)SESSION_NONE;
	session_open(session, &side);
	http_close(&session->http); /* its connection is not a part of the session */
}

static void read_last(struct link *link)
{
	if (!read_until(link, LAST, READ_LIMIT))
		errx(1, "a session does not get what the others get");
}

/* All sessions have got everything, those that did not read included. */
static void check_all(struct link *writer, struct session *watchers, size_t count, const struct pattern *pattern)
{
	link_write(writer, LAST, strlen(LAST));
	read_last(writer);
	for (size_t i = 0; i < count + STALLED; i++) {
		for (uint64_t at = 0; i >= count && at < FLOOD; at += PIECE)
			read_exactly(&watchers[i].data, flood_at(pattern, at), PIECE);
		read_last(&watchers[i].data);
	}
}

static void join(struct session *watchers, size_t count, const struct options *options, struct crowd *crowd)
{
	cleanup_free int *fds = calloc(count, sizeof(*fds));

	if (!fds)
		err(1, NULL);
	for (size_t i = 0; i < count; i++) {
		open_watcher(&watchers[i], options);
		fds[i] = watchers[i].data.fd;
	}
	crowd_start(crowd, fds, count);
}

static void measure_echo(struct link *link, json_t *figures, const char *paced, const char *fluent)
{
	json_object_set_new(figures, paced, json_real(echo_median(link, ECHOES, PAUSE)));
	json_object_set_new(figures, fluent, json_real(echo_median(link, FLUENT, 0)));
}

static void leave(struct session *watchers, size_t count, const struct options *options)
{
	for (size_t i = 0; i < count; i++) {
		http_open(&watchers[i].http, options->socket);
		session_finish(&watchers[i]);
	}
}

/*
 * A writer alone; then beside `count` watchers and STALLED that never read; then again, as the one who came last. What
 * waits for the latter in the kernel's socket buffers is not the daemon's memory, and does not count.
 */
json_t *section_sharing(const struct options *options)
{
	size_t count = (size_t)options->count;
	cleanup_free struct session *watchers = calloc(count + STALLED, sizeof(*watchers));
	cleanup_free struct pattern *pattern = pattern_create();
	struct session writer = SESSION_NONE;
	pid_t server = listener_pid(options->socket);
	int before = descriptors(server);
	json_t *figures = json_object();
	struct crowd crowd;
	long kb;

	if (!watchers)
		err(1, NULL);
	session_open(&writer, options);
	measure_echo(&writer.data, figures, "alone_us", "alone_fluent_us");
	join(watchers, count, options, &crowd);
	flood(&writer.data, pattern); /* the server allocates what it has once for all */
	kb = private_kb(server);
	for (size_t i = count; i < count + STALLED; i++)
		open_watcher(&watchers[i], options);
	flood(&writer.data, pattern);
	measure_echo(&writer.data, figures, "first_us", "first_fluent_us");
	kb = private_kb(server) - kb;
	session_detach(&writer);
	session_open(&writer, options);
	measure_echo(&writer.data, figures, "last_us", "last_fluent_us");
	crowd_stop(&crowd);
	check_all(&writer.data, watchers, count, pattern);
	leave(watchers, count + STALLED, options);
	session_finish(&writer);
	json_object_set_new(figures, "each_kb", json_real((double)kb / STALLED));
	json_object_set_new(figures, "descriptors_left", json_integer(descriptors_left(server, before)));
	return figures;
}

/* --- replay --- */

/* From before the request to the first byte; the rest is read and checked afterwards. */
static int64_t replay_once(struct session *session, const struct options *options, const char *log, size_t length)
{
	int64_t started = clock_now(), replayed;
	const unsigned char *data;

	session_open(session, options);
	if (link_peek(&session->data, &data) == 0)
		errx(1, "the console ended");
	replayed = clock_now();
	if (strcmp(options->replay, "log") == 0)
		read_exactly(&session->data, log, length);
	else if (!read_until(&session->data, READY, READ_LIMIT))
		errx(1, "the screen does not show \"%s\"", READY);
	session_detach(session);
	return replayed - started;
}

json_t *section_replay(const struct options *options)
{
	size_t count = (size_t)options->count, length;
	cleanup_free int64_t *times = calloc(count, sizeof(*times));
	cleanup_free char *log = log_get(options, &length);
	struct session session = SESSION_NONE;

	if (!times)
		err(1, NULL);
	for (size_t i = 0; i < count; i++)
		times[i] = replay_once(&session, options, log, length);
	session_finish(&session);
	return json_pack("{s:f, s:f}", "p50_ms", (double)percentile(times, count, 0.5) / 1e6, "p95_ms",
			 (double)percentile(times, count, 0.95) / 1e6);
}
