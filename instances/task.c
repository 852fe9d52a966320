// SPDX-License-Identifier: Apache-2.0
#include "instances/task.h"

#include "instances/instance.h"
#include "pty/targets/cgroup.h"

#include <errno.h>
#include <string.h>

/* In "Failed to create instance start operation". */
static const char *const nouns[] = {
	[INSTANCE_START] = "start",   [INSTANCE_STOP] = "stop",         [INSTANCE_RESTART] = "restart",
	[INSTANCE_FREEZE] = "freeze", [INSTANCE_UNFREEZE] = "unfreeze",
};

struct instance_task *task_find(struct instance *instance, enum instance_action action)
{
	struct instance_task *task;

	list_for_each (task, &instance->tasks, link)
		if (task->action == action)
			return task;
	return NULL;
}

struct instance_task *task_find_stop(struct instance *instance)
{
	struct instance_task *task;

	list_for_each (task, &instance->tasks, link)
		if (task->action == INSTANCE_STOP && task->force)
			return task;
	return task_find(instance, INSTANCE_STOP);
}

static void finish_task(struct instance_task *task, const char *error)
{
	list_remove(&task->link);
	task->done(task, error);
}

void tasks_finish(struct instance *instance, enum instance_action action, const char *error)
{
	struct instance_task *task;

	while ((task = task_find(instance, action)))
		finish_task(task, error);
}

void tasks_finish_all(struct instance *instance, const char *error)
{
	while (!list_empty(&instance->tasks))
		finish_task(list_first(&instance->tasks, struct instance_task, link), error);
}

/* Packs what its config says at present. */
static int prepare(const struct instance *instance, bool again, struct console_target *target, struct error *error)
{
	const struct driver_context context = {.directory = instance->instances->directory, .again = again};
	const struct driver *driver = driver_find(&instance->row);

	if (!driver)
		return error_set(
			error, -EINVAL,
			"The instance has nothing to run: set process.command or serial.device, or a source on its "
			"root disk");
	return driver->prepare(&instance->row, &context, target, error);
}

static int start(struct instance *instance, struct error *error)
{
	cleanup_target struct console_target target = {0};
	int r;

	if (instance_running(instance))
		return error_set(error, -EALREADY, "The instance is already running");
	r = prepare(instance, false, &target, error);
	if (r < 0)
		return r;
	r = console_set_capacity(instance->console, instance_capacity(&instance->row));
	if (r < 0)
		return error_set(error, r, "console.buffer.size: %s", strerror(-r));
	return console_start(instance->console, &target, error);
}

/* Stops or restarts, with what is configured now; the console's news finish the task. */
static int stop(struct instance *instance, const struct instance_task *task, struct error *error)
{
	int timeout = task->force             ? 0
		      : task->timeout < 0     ? -1
		      : task->timeout > 86400 ? 86400000
					      : task->timeout * 1000;
	cleanup_target struct console_target target = {0};
	int r = 0;

	if (!instance_running(instance))
		return error_set(error, -EALREADY, "The instance is already stopped");
	if (task->action == INSTANCE_RESTART && instance->status == INSTANCE_FROZEN)
		return error_set(error, -EINVAL, "Instance is not running");
	/* LXD takes a timeout of 0 for one of its own choice; without force nobody expects a kill at once. */
	if (timeout == 0 && !task->force)
		timeout = -1;
	if (task->action == INSTANCE_RESTART)
		r = prepare(instance, true, &target, error);
	if (r < 0)
		return r;
	if (instance->status == INSTANCE_FROZEN && !console_frozen(instance->console)) /* its keeper does not know */
		cgroups_thaw(instance_pid(instance));
	if (task->action == INSTANCE_RESTART)
		return console_restart(instance->console, &target, timeout, error);
	r = console_stop(instance->console, timeout);
	return r < 0 ? error_set(error, r, "The instance could not be signalled: %s", strerror(-r)) : 0;
}

/* Freezes or thaws; the console's news finish the task. */
static int freeze(struct instance *instance, const struct instance_task *task, struct error *error)
{
	const char *noun = instance->row.type == INSTANCE_CONTAINER ? "container" : "instance";
	bool frozen = task->action == INSTANCE_FREEZE;
	int r;

	if (!instance_running(instance))
		return error_set(error, -EINVAL, "The %s isn't running", noun);
	if (frozen == (instance->status == INSTANCE_FROZEN))
		return error_set(error, -EALREADY, "The %s is already %s", noun, frozen ? "frozen" : "running");
	r = console_freeze(instance->console, frozen);
	return r < 0 ? error_set(error, r, "The instance could not be signalled: %s", strerror(-r)) : 0;
}

/* A change under way stands in the way of others, but for a stop, which may follow a stop or restart that takes too
 * long. */
static int check_busy(struct instance *instance, const struct instance_task *task, struct error *error)
{
	const struct instance_task *busy;

	if (list_empty(&instance->tasks))
		return 0;
	busy = list_first(&instance->tasks, struct instance_task, link);
	if (task->action == INSTANCE_STOP && busy->action != INSTANCE_START)
		return 0;
	return error_set(error, -EBUSY,
			 "Failed to create instance %s operation: Instance is busy running a \"%s\" operation",
			 nouns[task->action], nouns[busy->action]);
}

static int begin(struct instance *instance, const struct instance_task *task, struct error *error)
{
	switch (task->action) {
	case INSTANCE_START:
		return start(instance, error);
	case INSTANCE_STOP:
	case INSTANCE_RESTART:
		return stop(instance, task, error);
	default:
		return freeze(instance, task, error);
	}
}

void instance_change(struct instance *instance, struct instance_task *task)
{
	struct error error = {0};
	int r;

	list_init(&task->link);
	r = check_busy(instance, task, &error);
	if (r == 0 && (!instance->taken_on || task->action == INSTANCE_START))
		r = begin(instance, task, &error);
	if (r == 0) {
		list_append(&instance->tasks, &task->link);
		return;
	}
	error.code = r;
	finish_task(task, error_text(&error));
}

void tasks_begin(struct instance *instance)
{
	struct instance_task *task, *after;

	list_for_each_safe (task, after, &instance->tasks, link) {
		struct error error = {0};

		error.code = begin(instance, task, &error);
		if (error.code < 0)
			finish_task(task, error_text(&error));
	}
}
