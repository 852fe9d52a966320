// SPDX-License-Identifier: Apache-2.0
/* How long a container takes to start and, by force, to stop. */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <stdio.h>

int64_t change_state(struct http *http, const struct options *options, const char *action)
{
	int64_t started = clock_now();
	char target[128];

	snprintf(target, sizeof(target), "/1.0/instances/%s/state", options->instance);
	http_operate(http, "PUT", target, json_pack("{s:s, s:b, s:i}", "action", action, "force", true, "timeout", 30));
	return clock_now() - started;
}

/* A shell answers on the console: it has started indeed, and is what people stop. */
static void check_shell(struct session *session, const struct options *options)
{
	session_open(session, options);
	shell_run(&session->data, ":");
	session_detach(session);
}

/* A server's instance runs before and after. */
json_t *section_start(const struct options *options)
{
	size_t count = (size_t)options->count;
	cleanup_free int64_t *starts = calloc(count, sizeof(*starts)), *stops = calloc(count, sizeof(*stops));
	struct session session = SESSION_NONE;
	struct http http = {.fd = -1};

	if (!starts || !stops)
		err(1, NULL);
	if (!options->container)
		http_open(&http, options->socket);
	for (size_t i = 0; i < count; i++) {
		if (!options->container) {
			stops[i] = change_state(&http, options, "stop");
			starts[i] = change_state(&http, options, "start");
		}
		check_shell(&session, options);
		if (options->container) {
			starts[i] = session.guest.start_ns;
			stops[i] = session.guest.stop_ns;
		}
	}
	session_finish(&session);
	if (!options->container)
		http_close(&http);
	return json_pack("{s:f, s:f, s:f, s:f}", "start_p50_ms", (double)percentile(starts, count, 0.5) / 1e6,
			 "start_p95_ms", (double)percentile(starts, count, 0.95) / 1e6, "stop_p50_ms",
			 (double)percentile(stops, count, 0.5) / 1e6, "stop_p95_ms",
			 (double)percentile(stops, count, 0.95) / 1e6);
}
