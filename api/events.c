// SPDX-License-Identifier: Apache-2.0
#include "operations/events.h"
#include "api/handlers.h"
#include "util/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Checks the query of GET /1.0/events as LXD does, and whether there is room for one more. */
static int check(const struct api *api, const struct request *request, unsigned int *types, struct error *error)
{
	const char *project = request_query(request, "project"), *all = request_query(request, "all-projects");

	if (all && strcmp(all, "true") == 0 && project && *project)
		return error_set(error, -EIO, "Cannot specify a project when requesting all projects");
	if (project && *project && strcmp(project, "default") != 0)
		return error_set(error, -EIO, "Project not found");
	if (events_parse_types(request_query(request, "type"), types, error) < 0)
		return -EIO; /* LXD says 500 for it */
	if (api->events->count >= api->events->limits->event_listeners)
		return error_set(error, -EAGAIN,
				 "Too many clients listen for events: limits.event_listeners is %" PRIu64,
				 api->events->limits->event_listeners);
	return 0;
}

bool events_upgrade(struct api *api, struct request *request, int fd)
{
	unsigned int types;

	if (check(api, request, &types, NULL) < 0)
		return false;
	events_connect(api->events, fd, types, &request->identity);
	return true;
}

/* A request that is no WebSocket handshake, in the shape of LXD's answer (which is gorilla's). */
int events_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	unsigned int types;
	char *text;
	int r = strcmp(request->path, "/1.0/events") == 0 ? check(api, request, &types, error) : 0;

	if (r < 0)
		return r;
	text = strdup("Bad Request\n");
	if (!text)
		return -ENOMEM;
	r = response_bytes(response, "text/plain; charset=utf-8", text, strlen(text));
	response->status = 400;
	if (r == 0)
		r = response_header(response, "Sec-Websocket-Version", "13");
	return r < 0 ? r : response_header(response, "X-Content-Type-Options", "nosniff");
}
