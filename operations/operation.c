// SPDX-License-Identifier: Apache-2.0
#include "operations/operation.h"

#include "operations/events.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/timestamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

const char *operation_status_name(enum operation_status status)
{
	switch (status) {
	case OPERATION_RUNNING:
		return "Running";
	case OPERATION_CANCELLING:
		return "Cancelling";
	case OPERATION_PENDING:
		return "Pending";
	case OPERATION_SUCCESS:
		return "Success";
	case OPERATION_FAILURE:
		return "Failure";
	case OPERATION_CANCELLED:
		return "Cancelled";
	}
	return "";
}

bool operation_final(const struct operation *operation)
{
	return operation->status >= OPERATION_SUCCESS;
}

bool operation_cancellable(const struct operation *operation)
{
	return operation->status == OPERATION_RUNNING && operation->handler && operation->handler->cancel;
}

static json_t *secrets_json(const struct operation *operation)
{
	json_t *secrets = json_object();

	for (unsigned int i = 0; i < operation->socket_count; i++) {
		const struct operation_socket *socket = &operation->sockets[i];

		if (json_object_set_new(secrets, socket->name, json_string(socket->secret.text)) < 0) {
			json_decref(secrets);
			return NULL;
		}
	}
	return secrets;
}

static json_t *metadata_json(const struct operation *operation, const struct identity *viewer)
{
	bool secrets = operation->socket_count && viewer && identity_same(viewer, &operation->requestor);
	json_t *metadata;

	if (!secrets)
		return operation->metadata ? json_incref(operation->metadata) : json_null();
	metadata = operation->metadata ? json_duplicate(operation->metadata) : json_object();
	if (json_object_set_new(metadata, "fds", secrets_json(operation)) < 0) {
		json_decref(metadata);
		return NULL;
	}
	return metadata;
}

/* A failure whose reason there was no memory for has this one. */
static const char *reason_of(const struct operation *operation)
{
	if (operation->error)
		return operation->error;
	return operation->status == OPERATION_FAILURE ? strerror(ENOMEM) : "";
}

json_t *operation_json(const struct operation *operation, const struct identity *viewer)
{
	char created_at[TIMESTAMP_LENGTH + 1], updated_at[TIMESTAMP_LENGTH + 1];
	json_t *resources = operation->resources ? operation->resources : json_null();
	json_auto_t *metadata = metadata_json(operation, viewer);

	timestamp_format(operation->created_at, created_at);
	timestamp_format(operation->updated_at, updated_at);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:O, s:O, s:b, s:s, s:s}", "id", operation->id, "class",
			 operation->class == OPERATION_TASK ? "task" : "websocket", "description",
			 operation->description, "created_at", created_at, "updated_at", updated_at, "status",
			 operation_status_name(operation->status), "status_code", (int)operation->status, "resources",
			 resources, "metadata", metadata, "may_cancel", (int)operation_cancellable(operation), "err",
			 reason_of(operation), "location", "none");
}

static void publish(const struct operation *operation)
{
	struct events *events = operation->registry->events;
	json_auto_t *shown = NULL, *secret = NULL;

	if (!events->count)
		return;
	shown = operation_json(operation, NULL);
	if (operation->socket_count)
		secret = operation_json(operation, &operation->requestor);
	events_publish(events, EVENT_OPERATION, shown, secret, &operation->requestor);
}

static void change_status(struct operation *operation, enum operation_status status)
{
	operation->status = status;
	operation->updated_at = timestamp_now();
	publish(operation);
}

static int add_resource(json_t *resources, const char *kind, const char *name)
{
	json_t *list = json_object_get(resources, kind);

	if (!list) {
		list = json_array();
		if (json_object_set_new(resources, kind, list) < 0)
			return -ENOMEM;
	}
	return json_array_append_new(list, json_sprintf("/1.0/%s/%s", kind, name)) < 0 ? -ENOMEM : 0;
}

int operation_add_instance(struct operation *operation, const char *name, bool is_container)
{
	int r = 0;

	if (!operation->resources)
		operation->resources = json_object();
	if (is_container)
		r = add_resource(operation->resources, "containers", name);
	return r < 0 ? r : add_resource(operation->resources, "instances", name);
}

int operation_create(struct operation **operation, struct operations *registry, const struct operation_config *config,
		     struct error *error)
{
	struct operation *created = calloc(1, sizeof(*created));
	uuid_t id;
	int result;

	if (!created)
		return -ENOMEM;
	list_init(&created->link);
	list_init(&created->bucket);
	list_init(&created->waiters);
	uuid_generate_random(id);
	uuid_unparse_lower(id, created->id);
	created->class = config->class;
	created->status = OPERATION_PENDING;
	created->description = config->description;
	created->created_at = created->updated_at = timestamp_now();
	created->requestor = *config->requestor;
	created->handler = config->handler;
	created->owner = config->owner;
	result = -ENOMEM;
	if (config->instance && operation_add_instance(created, config->instance, config->is_container) < 0)
		goto failed;
	result = operations_add(registry, created, error);
	if (result < 0)
		goto failed;
	*operation = created;
	return 0;
failed:
	operation_destroy(created);
	return result;
}

void operation_destroy(struct operation *operation)
{
	if (operation->registry)
		operations_remove(operation->registry, operation);
	/* Who still waits keeps a link that may be removed once more. */
	while (!list_empty(&operation->waiters))
		list_remove(operation->waiters.next);
	json_decref(operation->metadata);
	json_decref(operation->resources);
	free(operation->error);
	explicit_bzero(operation->sockets, sizeof(operation->sockets));
	free(operation);
}

int operation_add_socket(struct operation *operation, const char *name, bool reusable)
{
	struct operation_socket *socket = &operation->sockets[operation->socket_count];
	int result;

	if (operation->socket_count == OPERATION_SOCKETS_MAX)
		return -ENOSPC;
	result = secret_create(&socket->secret);
	if (result < 0)
		return result;
	socket->name = name;
	socket->reusable = reusable;
	operation->socket_count++;
	return 0;
}

void operation_start(struct operation *operation)
{
	publish(operation);
	change_status(operation, OPERATION_RUNNING);
}

void operation_abandon(struct operation *operation)
{
	operation_destroy(operation);
}

/* A copy that JSON can hold: a reason may quote bytes that are not UTF-8. */
static char *copy_reason(const char *error)
{
	json_auto_t *text = json_string(error);
	char *copy = strdup(error);

	for (char *at = copy; !text && at && *at; at++) {
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	}
	return copy;
}

void operation_finish(struct operation *operation, enum operation_status status, const char *error)
{
	if (operation_final(operation))
		return;
	operation->owner = NULL;
	if (error)
		operation->error = copy_reason(error);
	change_status(operation, status);
	while (!list_empty(&operation->waiters)) {
		struct operation_waiter *waiter = list_first(&operation->waiters, struct operation_waiter, link);

		list_remove(&waiter->link);
		waiter->done(waiter, operation);
	}
	/* Last: from here on a new operation may push it out of a full registry. */
	operations_retire(operation->registry, operation);
}

void operation_cancel(struct operation *operation)
{
	if (!operation_cancellable(operation))
		return;
	change_status(operation, OPERATION_CANCELLING);
	operation->handler->cancel(operation);
}

struct operation_socket *operation_find_socket(struct operation *operation, const char *secret)
{
	struct operation_socket *found = NULL;

	for (unsigned int i = 0; i < operation->socket_count; i++) {
		if (secret_matches(&operation->sockets[i].secret, secret))
			found = &operation->sockets[i];
	}
	return found;
}

void operation_wait(struct operation *operation, struct operation_waiter *waiter)
{
	list_append(&operation->waiters, &waiter->link);
}
