// SPDX-License-Identifier: Apache-2.0
/* Requests per second on connections that are kept alive, each with one request under way. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <poll.h>

static void take_answer(struct http *http, const char *target)
{
	struct answer answer;

	http_receive(http, &answer);
	if (answer.status != 200 || answer.length == 0)
		errx(1, "GET %s: status %d, %zu bytes", target, answer.status, answer.length);
}

json_t *section_rest(const struct options *options)
{
	size_t count = (size_t)options->connections;
	cleanup_free struct http *connections = calloc(count, sizeof(*connections));
	cleanup_free struct pollfd *pollers = calloc(count, sizeof(*pollers));
	int64_t started = clock_now(), end = started + (int64_t)(options->seconds * 1e9), now;
	uint64_t answers = 0;

	if (!connections || !pollers)
		err(1, NULL);
	for (size_t i = 0; i < count; i++) {
		http_open(&connections[i], options->socket);
		pollers[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
		http_send(&connections[i], "GET", options->target, NULL);
	}
	while ((now = clock_now()) < end) {
		if (poll(pollers, count, -1) < 0)
			err(1, "poll");
		for (size_t i = 0; i < count; i++) {
			if (!pollers[i].revents)
				continue;
			take_answer(&connections[i], options->target);
			http_send(&connections[i], "GET", options->target, NULL);
			answers++;
		}
	}
	for (size_t i = 0; i < count; i++) {
		take_answer(&connections[i], options->target);
		http_close(&connections[i]);
	}
	return json_pack("{s:f}", "per_s", (double)answers * 1e9 / (double)(now - started));
}
