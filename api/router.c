// SPDX-License-Identifier: Apache-2.0
#include "api/handlers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct route api_routes[] = {
	{"GET", "/", root_list},
	{"GET", "/1.0", root_get},
	{"PUT", "/1.0", root_put},
	{"PATCH", "/1.0", root_patch},
	{"GET", "/1.0/events", events_get},
	{"GET", "/1.0/operations", operations_get},
	{"GET", "/1.0/operations/{id}", operation_get},
	{"DELETE", "/1.0/operations/{id}", operation_delete},
	{"GET", "/1.0/operations/{id}/wait", operation_wait_get},
	{"GET", "/1.0/operations/{id}/websocket", operation_websocket_get},
	{"GET", "/1.0/profiles", profiles_get},
	{"GET", "/1.0/profiles/{name}", profile_get},
	{"GET", "/1.0/instances", instances_get},
	{"POST", "/1.0/instances", instances_post},
	{"PUT", "/1.0/instances", instances_put},
	{"GET", "/1.0/instances/{name}", instance_get},
	{"PUT", "/1.0/instances/{name}", instance_put},
	{"PATCH", "/1.0/instances/{name}", instance_patch},
	{"POST", "/1.0/instances/{name}", instance_post},
	{"DELETE", "/1.0/instances/{name}", instance_delete},
	{"GET", "/1.0/instances/{name}/state", state_get},
	{"PUT", "/1.0/instances/{name}/state", state_put},
	{"GET", "/1.0/instances/{name}/console", console_get},
	{"POST", "/1.0/instances/{name}/console", console_post},
	{"DELETE", "/1.0/instances/{name}/console", console_delete},
	{"POST", "/1.0/instances/{name}/console/input", console_input_post},
	{"GET", "/1.0/instances/{name}/console/history", console_history_get},
	{"GET", "/1.0/instances/{name}/console/boots", console_boots_get},
	{"GET", "/1.0/instances/{name}/console/sessions", sessions_get},
	{"GET", "/1.0/instances/{name}/console/sessions/{id}", session_get},
	{"DELETE", "/1.0/instances/{name}/console/sessions/{id}", session_delete},
	{"GET", "/1.0/instances/{name}/logs", logs_get},
	{"GET", "/1.0/instances/{name}/logs/{file}", log_get},
	{0},
};

static const char *const aliases[] = {"/1.0/containers", "/1.0/virtual-machines"};

const char *collection_of(const struct request *request)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strncmp(request->path, aliases[i], strlen(aliases[i])) == 0)
			return aliases[i];
	return "/1.0/instances";
}

/* Where `path` goes on behind the collection's name, or NULL if it is none of an alias. */
static const char *behind_alias(const char *path)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		size_t length = strlen(aliases[i]);

		if (strncmp(path, aliases[i], length) == 0 && (path[length] == '/' || path[length] == '\0'))
			return path + length;
	}
	return NULL;
}

/*
 * Matches a path with a pattern, segment by segment. `space` takes the decoded parameters and is as large as the path.
 * Segments are decoded once and only here. -ENOENT: does not match.
 */
static int match(const char *pattern, const char *path, char *space, const char **parameters)
{
	size_t count = 0;

	while (*pattern) {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return -ENOENT;
			continue;
		}
		size_t length = strcspn(path, "/");

		if (length == 0)
			return -ENOENT;
		memcpy(space, path, length);
		space[length] = '\0';
		if (request_decode(space) < 0)
			return -ENOENT;
		parameters[count++] = space;
		space += length + 1;
		path += length;
		pattern = strchr(pattern, '}') + 1;
	}
	return *path ? -ENOENT : 0;
}

/*
 * Finds the request's route. NULL with `known` true where the path exists under another method.
 * The path is matched as if it named /1.0/instances where it names an alias.
 */
static const struct route *find(struct request *request, const char *path, bool *known)
{
	*known = false;
	for (const struct route *route = api_routes; route->method; route++) {
		if (match(route->pattern, path, request->pattern_space, request->parameters) < 0)
			continue;
		*known = true;
		if (strcmp(route->method, request->method) == 0 || strcmp(route->pattern, "/") == 0)
			return route;
	}
	return NULL;
}

static bool known_method(const char *method)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(method, methods[i]) == 0)
			return true;
	return false;
}

static int dispatch(struct api *api, struct request *request, struct response *response, struct error *error)
{
	const char *rest = behind_alias(request->path);
	char *path = NULL;
	const struct route *route;
	bool known = false;

	if (strcmp(request->method, "OPTIONS") == 0) {
		response->status = 200;
		return 0;
	}
	if (!known_method(request->method))
		return error_set(error, -ENOENT, "Method \"%s\" not found", request->method);
	if (asprintf(&path, "%s%s", rest ? "/1.0/instances" : "", rest ? rest : request->path) < 0)
		return -ENOMEM;
	free(request->pattern_space);
	request->pattern_space = malloc(strlen(path) + REQUEST_PARAMETERS_MAX + 1);
	route = request->pattern_space ? find(request, path, &known) : NULL;
	free(path);
	if (!request->pattern_space)
		return -ENOMEM;
	if (route)
		return route->handle(api, request, response, error);
	return known ? error_set(error, -ENOSYS, "not implemented") : error_set(error, -ENOENT, "not found");
}

void api_handle(struct api *api, struct request *request, struct response *response)
{
	struct error error = {0};
	int r = dispatch(api, request, response, &error);

	if (r == 0)
		return;
	error.code = r;
	response->deferred = false;
	response_error(response, &error);
}

bool api_upgrade(struct api *api, struct request *request, int fd)
{
	static const char prefix[] = "/1.0/operations/";

	if (strcmp(request->path, "/1.0/events") == 0)
		return events_upgrade(api, request, fd);
	if (strncmp(request->path, prefix, strlen(prefix)) == 0)
		return operation_upgrade(api, request, fd);
	return false;
}
