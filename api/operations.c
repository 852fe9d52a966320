// SPDX-License-Identifier: Apache-2.0
#include "api/handlers.h"
#include "operations/operation.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS_MAX (LONG_MAX / 1000) /* more has no milliseconds, and is for ever */

static int find_operation(struct api *api, const char *id, struct operation **operation, struct error *error)
{
	*operation = operations_find(api->operations, id);
	return *operation ? 0 : error_set(error, -ENOENT, "Operation not found");
}

int operations_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	bool full = request_recursion(request) > 0;

	return response_sync(response, operations_json(api->operations, full, &request->identity));
}

int operation_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct operation *operation;
	int r = find_operation(api, request->parameters[0], &operation, error);

	return r < 0 ? r : response_sync(response, operation_json(operation, &request->identity));
}

int operation_delete(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct operation *operation;
	int r = find_operation(api, request->parameters[0], &operation, error);

	if (r < 0)
		return r;
	if (operation_final(operation))
		return error_set(error, -EINVAL, "Only running operations can be cancelled");
	if (!operation_cancellable(operation))
		return error_set(error, -EINVAL, "This operation can't be cancelled");
	operation_cancel(operation);
	return response_empty(response);
}

/* --- GET /1.0/operations/<id>/wait --- */

/* A deferred answer: what comes first of the operation's end, the timeout, and the client's leaving. */
struct wait {
	struct operation_waiter waiter;
	uv_timer_t timer;
	struct response *response;
	struct operation *operation;
	struct identity viewer;
};

static void wait_free(uv_handle_t *timer)
{
	free(timer->data);
}

static void wait_close(struct wait *wait)
{
	list_remove(&wait->waiter.link);
	uv_close((uv_handle_t *)&wait->timer, wait_free);
}

static void wait_answer(struct wait *wait)
{
	struct response *response = wait->response;

	if (response_sync(response, operation_json(wait->operation, &wait->viewer)) < 0)
		response_error_status(response, 500, "Cannot allocate memory");
	wait_close(wait);
	response_complete(response);
}

static void wait_done(struct operation_waiter *waiter, struct operation *operation)
{
	wait_answer(container_of(waiter, struct wait, waiter));
}

static void wait_expired(uv_timer_t *timer)
{
	wait_answer(timer->data);
}

static void wait_cancelled(struct response *response)
{
	wait_close(response->context);
}

/* LXD's timeout: seconds, negative or absent = for ever; Go's words for what is no number. */
static int parse_timeout(const struct request *request, long *seconds, struct error *error)
{
	const char *text = request_query(request, "timeout");
	char *end;

	*seconds = -1;
	if (!text || !*text)
		return 0;
	errno = 0;
	*seconds = strtol(text, &end, 10);
	if (*end || isspace((unsigned char)*text))
		return error_set(error, -EIO, "strconv.Atoi: parsing \"%s\": invalid syntax", text);
	if (errno)
		return error_set(error, -EIO, "strconv.Atoi: parsing \"%s\": value out of range", text);
	if (*seconds > WAIT_SECONDS_MAX)
		*seconds = -1;
	return 0;
}

static int wait_begin(struct api *api, struct operation *operation, const struct request *request,
		      struct response *response, long seconds)
{
	struct wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return -ENOMEM;
	wait->response = response;
	wait->operation = operation;
	wait->viewer = request->identity;
	list_init(&wait->waiter.link);
	wait->waiter.done = wait_done;
	uv_timer_init(api->operations->loop, &wait->timer);
	wait->timer.data = wait;
	if (seconds > 0)
		uv_timer_start(&wait->timer, wait_expired, (uint64_t)seconds * 1000, 0);
	operation_wait(operation, &wait->waiter);
	response->context = wait;
	response->cancelled = wait_cancelled;
	response->deferred = true;
	return 0;
}

int operation_wait_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct operation *operation;
	long seconds = -1;
	int r;

	r = find_operation(api, request->parameters[0], &operation, error);
	if (r == 0)
		r = parse_timeout(request, &seconds, error);
	if (r < 0)
		return r;
	if (operation_final(operation) || seconds == 0)
		return response_sync(response, operation_json(operation, &request->identity));
	return wait_begin(api, operation, request, response, seconds);
}

/* --- GET /1.0/operations/<id>/websocket --- */

/* Finds the socket that the request may open, or says why it may not. */
static int find_socket(struct api *api, const struct request *request, const char *id, struct operation **operation,
		       struct operation_socket **socket, struct error *error)
{
	const char *secret = request_query(request, "secret");
	int r = find_operation(api, id, operation, error);

	if (r < 0)
		return r;
	if (!secret || !*secret)
		return error_set(error, -EIO, "missing secret");
	*socket = operation_find_socket(*operation, secret);
	if (!*socket || !identity_same(&(*operation)->requestor, &request->identity))
		return error_set(error, -EPERM, "Forbidden");
	// NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it has been found
	if (operation_final(*operation) || !(*operation)->owner)
		return error_set(error, -EINVAL, "The operation has ended");
	if ((*socket)->used && !(*socket)->reusable)
		return error_set(error, -EEXIST, "This secret has been used");
	return 0;
}

bool operation_upgrade(struct api *api, struct request *request, int fd)
{
	static const char suffix[] = "/websocket";
	const char *id = request->path + strlen("/1.0/operations/");
	struct operation_socket *socket = NULL;
	struct operation *operation;
	char name[OPERATION_ID_LENGTH + 1];

	if (strlen(id) != OPERATION_ID_LENGTH + strlen(suffix) || strcmp(id + OPERATION_ID_LENGTH, suffix) != 0)
		return false;
	memcpy(name, id, OPERATION_ID_LENGTH);
	name[OPERATION_ID_LENGTH] = '\0';
	if (find_socket(api, request, name, &operation, &socket, NULL) < 0 || !operation->handler->connect)
		return false;
	operation->handler->connect(operation, socket, fd);
	return true;
}

/* A request that was not upgraded: here it is said why. */
int operation_websocket_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct operation_socket *socket;
	struct operation *operation;
	int r = find_socket(api, request, request->parameters[0], &operation, &socket, error);

	return r < 0 ? r : events_get(api, request, response, error);
}
