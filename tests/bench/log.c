// SPDX-License-Identifier: Apache-2.0
/* A console's log over HTTP: how fast it comes, and how soon whoever follows it or waits for a line hears of one. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

/* --- get --- */

static void get(struct http *http, const char *target, struct answer *answer)
{
	http_send(http, "GET", target, NULL);
	http_receive(http, answer);
	if (answer->status != 200 || answer->length == 0)
		errx(1, "GET %s: status %d, %zu bytes", target, answer->status, answer->length);
}

static char *copy_of(const struct answer *answer)
{
	char *copy = malloc(answer->length);

	if (!copy)
		err(1, NULL);
	return memcpy(copy, answer->body, answer->length);
}

char *log_get(const struct options *options, size_t *length)
{
	struct answer answer;
	struct http http;
	char target[128], *log;

	snprintf(target, sizeof(target), "/1.0/instances/%s/console", options->instance);
	http_open(&http, options->socket);
	get(&http, target, &answer);
	log = copy_of(&answer);
	*length = answer.length;
	http_close(&http);
	return log;
}

/* `count` answers on one connection, all the same; the first is not measured. The rate is that of the median. */
json_t *section_get(const struct options *options)
{
	size_t count = (size_t)options->count, length;
	cleanup_free int64_t *times = calloc(count, sizeof(*times));
	cleanup_free char *first = NULL;
	struct answer answer;
	struct http http;
	int64_t median;

	if (!times)
		err(1, NULL);
	http_open(&http, options->socket);
	get(&http, options->target, &answer);
	first = copy_of(&answer);
	length = answer.length;
	for (size_t i = 0; i < count; i++) {
		int64_t started = clock_now();

		get(&http, options->target, &answer);
		times[i] = clock_now() - started;
		if (answer.length != length || memcmp(answer.body, first, length) != 0)
			errx(1, "GET %s: %zu bytes, then %zu others", options->target, length, answer.length);
	}
	http_close(&http);
	median = percentile(times, count, 0.5);
	return json_pack("{s:f, s:f}", "mb_s", (double)length * 1e3 / (double)median, "p50_ms", (double)median / 1e6);
}

/* --- follow --- */

/* From typing a byte to its coming to the one of several followers who came last. */
json_t *section_follow(const struct options *options)
{
	size_t count = (size_t)options->count, others = (size_t)options->connections - 1;
	cleanup_free int64_t *times = calloc(count, sizeof(*times));
	cleanup_free struct link *followers = calloc(others + 1, sizeof(*followers));
	cleanup_free int *fds = calloc(others + 1, sizeof(*fds));
	struct session session = SESSION_NONE;
	struct crowd crowd;
	char target[128];

	if (!times || !followers || !fds)
		err(1, NULL);
	session_open(&session, options);
	snprintf(target, sizeof(target), "/1.0/instances/%s/console?follow=1&tail=0", options->instance);
	for (size_t i = 0; i <= others; i++) {
		link_follow(&followers[i], options->socket, target);
		fds[i] = followers[i].fd;
	}
	crowd_start(&crowd, fds, others);
	for (size_t i = 0; i < count; i++) {
		int64_t started = clock_now();

		link_write(&session.data, "Z", 1); /* no digit of a chunk's length */
		read_until(&followers[others], "Z", -1);
		times[i] = clock_now() - started;
		read_exactly(&session.data, "Z", 1);
	}
	crowd_stop(&crowd);
	for (size_t i = 0; i <= others; i++)
		link_close(&followers[i]);
	session_finish(&session);
	return json_pack("{s:f, s:f}", "p50_ms", (double)percentile(times, count, 0.5) / 1e6, "p99_ms",
			 (double)percentile(times, count, 0.99) / 1e6);
}

/* --- wait --- */

/* Asks for a line with `text` and returns when the server surely has the question. */
static void ask(struct http *http, struct http *other, const struct options *options, const char *text)
{
	char target[160];

	snprintf(target, sizeof(target), "/1.0/instances/%s/console?wait=%s&timeout=60", options->instance, text);
	http_send(http, "GET", target, NULL);
	json_decref(http_call(other, "GET", "/1.0", NULL)); /* requests are served in turn */
}

/* From typing a mark to the answer. The line gets its end afterwards: until then a late question would be answered too.
 */
static int64_t wait_once(struct http *http, struct http *other, struct link *link, const struct options *options,
			 size_t number)
{
	struct answer answer;
	int64_t started, answered;
	char mark[32];
	size_t length = (size_t)snprintf(mark, sizeof(mark), "mark%zux", number);

	ask(http, other, options, mark);
	started = clock_now();
	link_write(link, mark, length);
	http_receive(http, &answer);
	answered = clock_now();
	if (answer.status != 200 || !memmem(answer.body, answer.length, mark, length))
		errx(1, "wait=%s: status %d, %.*s", mark, answer.status, (int)answer.length, answer.body);
	read_exactly(link, mark, length);
	link_write(link, "\n", 1);
	read_exactly(link, "\n", 1);
	return answered - started;
}

/* All but one of the connections wait for what never comes. */
json_t *section_wait(const struct options *options)
{
	size_t count = (size_t)options->count, others = (size_t)options->connections - 1;
	cleanup_free int64_t *times = calloc(count, sizeof(*times));
	cleanup_free struct http *waiters = calloc(others + 1, sizeof(*waiters));
	struct session session = SESSION_NONE;
	char text[64];

	if (!times || !waiters)
		err(1, NULL);
	session_open(&session, options);
	for (size_t i = 0; i <= others; i++)
		http_open(&waiters[i], options->socket);
	for (size_t i = 0; i < others; i++) {
		snprintf(text, sizeof(text), "login.*as.user%zu", i);
		ask(&waiters[i], &session.http, options, text);
	}
	for (size_t i = 0; i < count; i++)
		times[i] = wait_once(&waiters[others], &session.http, &session.data, options, i);
	for (size_t i = 0; i <= others; i++)
		http_close(&waiters[i]);
	session_finish(&session);
	return json_pack("{s:f, s:f}", "p50_ms", (double)percentile(times, count, 0.5) / 1e6, "p99_ms",
			 (double)percentile(times, count, 0.99) / 1e6);
}
