// SPDX-License-Identifier: Apache-2.0
/* A query: what is taken keeps its promises, what is refused has a reason. */
#include "api/log_query.h"
#include "util/cleanup.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *header(const struct request *request, const char *name)
{
	return request->front;
}

static void check(const struct log_query *query)
{
	if (query->since_value < 0 && query->since != LOG_SINCE_TIME)
		abort();
	if (query->tail_value < 0 || (query->tail_value && query->tail == LOG_TAIL_ALL))
		abort();
	if (query->follow && log_query_screen(query))
		abort();
	if (!query->given && (query->boot || query->since || query->tail || query->format || query->follow))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size), *target = NULL;
	struct request request = {.header = header, .front = (void *)(size % 2 ? "text/html" : NULL)};
	struct log_query query;
	struct error error = {0};

	if (asprintf(&target, "/1.0/instances/x/console?%s", text) < 0)
		abort();
	if (request_set_target(&request, target) < 0)
		return 0;
	if (log_query_parse(&request, &query, &error) == 0)
		check(&query);
	else if (!*error.text)
		abort();
	request_finish(&request);
	return 0;
}
