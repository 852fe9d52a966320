// SPDX-License-Identifier: Apache-2.0
#include "api/body.h"
#include "api/handlers.h"
#include "api/render.h"
#include "api/task.h"
#include "instances/instance.h"
#include "instances/task.h"
#include "operations/operation.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* api.InstanceStatePut */
struct change {
	enum instance_action action;
	int timeout;
	bool force;
};

static const struct {
	const char *name;
	enum instance_action action;
	const char *description;
} actions[] = {
	{"start", INSTANCE_START, "Starting instance"},         {"stop", INSTANCE_STOP, "Stopping instance"},
	{"restart", INSTANCE_RESTART, "Restarting instance"},   {"freeze", INSTANCE_FREEZE, "Freezing instance"},
	{"unfreeze", INSTANCE_UNFREEZE, "Unfreezing instance"},
};

static const char *description_of(enum instance_action action)
{
	return actions[action].description; /* the table is in the order of the enum */
}

/* Takes a change from an object of a body; from nothing (NULL, null) comes no action. */
static int decode_change(json_t *object, const struct request *request, struct change *change, struct error *error)
{
	const char *name = "";
	int64_t timeout = 0;
	const struct body_field fields[] = {
		{"action", BODY_STRING, &name},
		{"timeout", BODY_INTEGER, &timeout},
		{"force", BODY_BOOLEAN, &change->force},
		{0},
	};
	int r = body_decode_object(object, request, "InstanceStatePut", fields, error);

	if (r < 0)
		return r;
	change->timeout = timeout > INT_MAX ? INT_MAX : timeout < -1 ? -1 : (int)timeout;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].name, name) == 0) {
			change->action = actions[i].action;
			return 0;
		}
	}
	return error_set(error, -EINVAL, "Unknown action: '%s'", name);
}

int state_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	int r = find_instance(api, request, &instance, error);

	return r < 0 ? r : response_sync(response, render_state(instance));
}

/* --- one instance --- */

/* A change of one instance behind an operation. */
struct state_task {
	struct instance_task base;
	struct operation *operation;
};

static void state_task_done(struct instance_task *base, const char *error)
{
	struct state_task *task = container_of(base, struct state_task, base);

	operation_finish(task->operation, error ? OPERATION_FAILURE : OPERATION_SUCCESS, error);
	free(task);
}

int state_put(struct api *api, struct request *request, struct response *response, struct error *error)
{
	const struct body_field none[] = {{0}};
	struct change change = {0};
	json_auto_t *document = NULL;
	struct instance *instance;
	struct state_task *task;
	int r;

	r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = body_decode(request, BODY_STREAM, "InstanceStatePut", none, &document, error);
	if (r == 0)
		r = decode_change(document, request, &change, error);
	if (r < 0)
		return r;
	task = calloc(1, sizeof(*task));
	if (!task)
		return -ENOMEM;
	task->base = (struct instance_task){
		.action = change.action,
		.force = change.force,
		.timeout = change.timeout,
		.requestor = request->identity,
		.done = state_task_done,
	};
	/* LXD lists a container as such in every operation but those that change its state. */
	r = task_create(api, request, description_of(change.action), instance->row.name, false, &task->operation,
			error);
	if (r == 0)
		r = task_answer(task->operation, request, response);
	if (r < 0)
		free(task);
	else
		instance_change(instance, &task->base);
	return r;
}

/* --- all instances: `lxc stop --all` --- */

#define BULK_NAMED_MAX 512 /* instances that the operation lists: an event has to fit into one message */

/* A change of many instances behind one operation, which ends with the last of them. */
struct bulk {
	struct operation *operation;
	unsigned int open;
	char *error; /* the first */
	bool failed;
};

struct bulk_task {
	struct instance_task base;
	struct bulk *bulk;
	struct instance *instance;
};

static void bulk_release(struct bulk *bulk)
{
	if (--bulk->open > 0)
		return;
	operation_finish(bulk->operation, bulk->failed ? OPERATION_FAILURE : OPERATION_SUCCESS, bulk->error);
	free(bulk->error);
	free(bulk);
}

static void bulk_task_done(struct instance_task *base, const char *error)
{
	struct bulk_task *task = container_of(base, struct bulk_task, base);

	if (error && !task->bulk->failed) {
		task->bulk->failed = true;
		task->bulk->error = strdup(error);
	}
	bulk_release(task->bulk);
	free(task);
}

/*
 * Whether LXD's bulk change means this instance: those that are in the state already are passed over, and so are
 * containers that are not ours, which LXD would not know of.
 */
static bool concerns(const struct instance *instance, enum instance_action action)
{
	if (instance->row.lxcpath)
		return false;
	switch (action) {
	case INSTANCE_START:
		return !instance_running(instance);
	case INSTANCE_FREEZE:
		return instance->status == INSTANCE_RUNNING;
	case INSTANCE_UNFREEZE:
		return instance->status == INSTANCE_FROZEN;
	default:
		return instance_running(instance);
	}
}

/* The instances that the change concerns, in the order of the list: as bulk tasks, linked by their `link`. */
static int bulk_collect(struct api *api, struct bulk *bulk, const struct change *change,
			const struct identity *requestor, struct list *tasks)
{
	struct instance *instance;

	list_for_each (instance, &api->instances->all, link) {
		struct bulk_task *task;
		int r = 0;

		if (!concerns(instance, change->action))
			continue;
		if (bulk->open <= BULK_NAMED_MAX)
			r = operation_add_instance(bulk->operation, instance->row.name, false);
		task = r == 0 ? calloc(1, sizeof(*task)) : NULL;
		if (!task)
			return -ENOMEM;
		task->bulk = bulk;
		task->instance = instance;
		task->base = (struct instance_task){
			.action = change->action,
			.force = change->force,
			.timeout = change->timeout,
			.requestor = *requestor,
			.done = bulk_task_done,
		};
		list_append(tasks, &task->base.link);
		bulk->open++;
	}
	return 0;
}

/* Frees all but the operation. */
static void bulk_abandon(struct bulk *bulk, struct list *tasks)
{
	while (!list_empty(tasks)) {
		struct bulk_task *task = list_first(tasks, struct bulk_task, base.link);

		list_remove(&task->base.link);
		free(task);
	}
	free(bulk);
}

/* No instance goes away while they are begun: what a change does to an instance comes from the loop. */
static void bulk_begin(struct bulk *bulk, struct list *tasks)
{
	while (!list_empty(tasks)) {
		struct bulk_task *task = list_first(tasks, struct bulk_task, base.link);

		list_remove(&task->base.link);
		instance_change(task->instance, &task->base);
	}
	bulk_release(bulk);
}

int instances_put(struct api *api, struct request *request, struct response *response, struct error *error)
{
	json_t *state = NULL;
	struct change change = {0};
	const struct body_field fields[] = {{"state", BODY_OBJECT, &state}, {0}};
	json_auto_t *document = NULL;
	struct list tasks;
	struct bulk *bulk;
	int r;

	r = body_decode(request, BODY_STREAM, "InstancesPut", fields, &document, error);
	if (r == 0)
		r = decode_change(state, request, &change, error);
	if (r < 0)
		return r;
	bulk = calloc(1, sizeof(*bulk));
	if (!bulk)
		return -ENOMEM;
	bulk->open = 1; /* ours, so that the operation cannot end before all are begun */
	r = task_create(api, request, description_of(change.action), NULL, false, &bulk->operation, error);
	if (r < 0) {
		free(bulk);
		return r;
	}
	list_init(&tasks);
	r = bulk_collect(api, bulk, &change, &request->identity, &tasks);
	if (r < 0)
		operation_abandon(bulk->operation);
	else
		r = task_answer(bulk->operation, request, response);
	if (r < 0)
		bulk_abandon(bulk, &tasks);
	else
		bulk_begin(bulk, &tasks);
	return r;
}
