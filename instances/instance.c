// SPDX-License-Identifier: Apache-2.0
#include "instances/instance.h"

#include "instances/cgroup.h"
#include "instances/config.h"
#include "instances/session.h"
#include "instances/task.h"
#include "instances/value.h"
#include "operations/events.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/size.h"
#include "util/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#define FEW_SESSIONS 4

/* LXD's lifecycle action when it has been done. */
static const char *const events[] = {
	[INSTANCE_START] = "instance-started",     [INSTANCE_STOP] = "instance-shutdown",
	[INSTANCE_RESTART] = "instance-restarted", [INSTANCE_FREEZE] = "instance-paused",
	[INSTANCE_UNFREEZE] = "instance-resumed",
};

const char *instance_status_name(enum instance_status status)
{
	switch (status) {
	case INSTANCE_RUNNING:
		return "Running";
	case INSTANCE_FROZEN:
		return "Frozen";
	case INSTANCE_STOPPED:
		break;
	}
	return "Stopped";
}

const char *instance_type_name(enum instance_type type)
{
	return type == INSTANCE_VIRTUAL_MACHINE ? "virtual-machine" : "container";
}

bool instance_running(const struct instance *instance)
{
	return instance->status == INSTANCE_RUNNING || instance->status == INSTANCE_FROZEN;
}

uint64_t instance_capacity(const struct store_row *row)
{
	uint64_t capacity = RING_CAPACITY_DEFAULT;

	size_parse(value_get(row->config, "console.buffer.size", "1MiB"), &capacity); /* checked when it was set */
	return capacity;
}

/* Its keeper may be slow to say that it has ended. */
pid_t instance_pid(const struct instance *instance)
{
	struct pollfd ended = {.fd = instance->pidfd, .events = POLLIN};

	return instance->pidfd >= 0 && poll(&ended, 1, 0) == 0 ? console_pid(instance->console) : 0;
}

static void publish(struct instance *instance, const char *event, const struct identity *requestor)
{
	events_lifecycle(instance->instances->events, event, instance->row.name, requestor, json_null());
}

/* --- news from the console --- */

void instance_serve(struct instance *instance)
{
	struct session *session, *after;

	list_for_each_safe (session, after, &instance->sessions, link)
		session_output(session);
}

static bool crowded(const struct instance *instance)
{
	unsigned int count = 0;
	const struct list *at;

	for (at = instance->sessions.next; at != &instance->sessions && count <= FEW_SESSIONS; at = at->next)
		count++;
	return count > FEW_SESSIONS;
}

/*
 * Each session costs some microseconds, and wakes up its reader. Of many only the one that has typed is served at once:
 * it waits for the echo, and would wait for all the others before it, at every key.
 */
static void on_output(struct console *console, void *user)
{
	struct instance *instance = user;
	struct instance_reader *reader, *next;

	if (!crowded(instance)) {
		instance_serve(instance);
	} else {
		if (instance->typist)
			session_output(instance->typist);
		instances_serve_soon(instance->instances, instance);
	}
	list_for_each_safe (reader, next, &instance->readers, link)
		reader->output(reader);
}

static void on_writable(struct console *console, void *user)
{
	struct instance *instance = user;
	struct session *session, *after;
	struct instance_reader *reader, *next;

	list_for_each_safe (session, after, &instance->sessions, link)
		session_writable(session);
	list_for_each_safe (reader, next, &instance->readers, link)
		if (reader->writable)
			reader->writable(reader);
}

static void end_sessions(struct instance *instance, uint64_t end)
{
	struct session *session, *after;
	struct instance_reader *reader, *next;

	list_for_each_safe (session, after, &instance->sessions, link)
		session_instance_ended(session, end);
	list_for_each_safe (reader, next, &instance->readers, link)
		reader->ended(reader);
}

/* One that is taken on has run for some time, or was started by others just now: `news`. */
static void note_start(struct instance *instance, const struct instance_task *task, pid_t pid)
{
	struct error error = {0};

	log_info("%s: %s, pid %d", instance->row.name, instance->taken_on ? "taken on" : "started", (int)pid);
	instance->starter = task && task->action == INSTANCE_START ? task->requestor.pid : 0;
	instance->started_at = timestamp_now();
	if (instance->taken_on && !instance->news)
		return;
	instance->row.last_used_at = instance->started_at;
	if (!instance->row.lxcpath && store_update(instance->instances->store, &instance->row, &error) < 0)
		log_warn("%s: the time of its start was not stored: %s", instance->row.name, error_text(&error));
	if (task)
		publish(instance, events[task->action], &task->requestor);
	else
		publish(instance, events[instance->taken_on ? INSTANCE_START : INSTANCE_RESTART], NULL);
}

static void on_started(struct console *console, void *user, pid_t pid)
{
	struct instance *instance = user;
	struct instance_task *task = task_find(instance, INSTANCE_START);
	bool taken_on = instance->taken_on;

	instance->status = console_frozen(console) ? INSTANCE_FROZEN : INSTANCE_RUNNING;
	close_fd(&instance->pidfd);
	instance->pidfd = pidfd_open(pid, 0);
	list_remove(&instance->doomed);
	note_start(instance, task || taken_on ? task : task_find(instance, INSTANCE_RESTART), pid);
	instance->taken_on = false;
	if (taken_on) {
		tasks_begin(instance);
		return;
	}
	tasks_finish(instance, INSTANCE_START, NULL);
	tasks_finish(instance, INSTANCE_RESTART, NULL);
}

static void on_failed(struct console *console, void *user, const struct error *error)
{
	struct instance *instance = user;
	const char *still_runs = instance->taken_on ? error_text(error) : NULL;

	log_warn("%s: not %s: %s", instance->row.name, instance->taken_on ? "taken on" : "started", error_text(error));
	if (instance->taken_on && instance->row.lxcpath)
		others_failed(instance);
	instance->taken_on = false;
	instance->status = INSTANCE_STOPPED;
	end_sessions(instance, ring_head(console_ring(console)));
	tasks_finish(instance, INSTANCE_START, error_text(error));
	tasks_finish(instance, INSTANCE_RESTART, error_text(error));
	tasks_finish(instance, INSTANCE_FREEZE, error_text(error));
	tasks_finish(instance, INSTANCE_UNFREEZE, error_text(error));
	tasks_finish(instance, INSTANCE_STOP, still_runs);         /* or it asked for what now is */
	if (instance->row.ephemeral && instance->row.last_used_at) /* a restart; a first start may be tried again */
		instances_doom(instance->instances, instance);
}

static void on_frozen(struct console *console, void *user, bool frozen)
{
	struct instance *instance = user;
	enum instance_action action = frozen ? INSTANCE_FREEZE : INSTANCE_UNFREEZE;
	struct instance_task *task = task_find(instance, action);

	instance->status = frozen ? INSTANCE_FROZEN : INSTANCE_RUNNING;
	publish(instance, events[action], task ? &task->requestor : NULL);
	tasks_finish(instance, action, NULL);
}

void instance_look(struct instance *instance)
{
	cleanup_close int root = -1, process = -1;
	pid_t pid = instance_pid(instance);
	char path[32];
	int frozen;

	if (pid <= 0 || !list_empty(&instance->tasks) || driver_find(&instance->row) != &driver_lxc)
		return;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	root = open(CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	frozen = cgroup_frozen(process, root);
	if (frozen >= 0 && frozen != (instance->status == INSTANCE_FROZEN) && instance_pid(instance) == pid)
		on_frozen(instance->console, instance, frozen);
}

static void on_refused(struct console *console, void *user, const struct error *error)
{
	struct instance *instance = user;

	tasks_finish(instance, INSTANCE_FREEZE, error_text(error));
	tasks_finish(instance, INSTANCE_UNFREEZE, error_text(error));
}

static void log_exit(const struct instance *instance, const struct console_exit *exit)
{
	if (!exit->known)
		log_info("%s: ended", instance->row.name);
	else if (WIFSIGNALED(exit->status))
		log_info("%s: ended by signal %d", instance->row.name, WTERMSIG(exit->status));
	else
		log_info("%s: ended with status %d", instance->row.name, WEXITSTATUS(exit->status));
}

static void on_exited(struct console *console, void *user, const struct console_exit *exit, bool again)
{
	struct instance *instance = user;
	struct instance_task *task = task_find_stop(instance);

	log_exit(instance, exit);
	close_fd(&instance->pidfd);
	if (again)
		return; /* the same console goes on with its next boot */
	if (instance->row.lxcpath)
		others_ended(instance);
	instance->taken_on = false;
	instance->status = INSTANCE_STOPPED;
	end_sessions(instance, exit->head);
	publish(instance, task && task->force ? "instance-stopped" : "instance-shutdown",
		task ? &task->requestor : NULL);
	tasks_finish(instance, INSTANCE_STOP, NULL);
	tasks_finish(instance, INSTANCE_RESTART, "The instance was stopped");
	tasks_finish(instance, INSTANCE_START, "The instance has ended");
	tasks_finish(instance, INSTANCE_FREEZE, "The instance has ended");
	tasks_finish(instance, INSTANCE_UNFREEZE, "The instance has ended");
	if (instance->row.ephemeral)
		instances_doom(instance->instances, instance);
}

static const struct console_handler console_handler = {
	.output = on_output,
	.writable = on_writable,
	.started = on_started,
	.failed = on_failed,
	.frozen = on_frozen,
	.refused = on_refused,
	.exited = on_exited,
};

/* --- life --- */

int instance_take_on(struct instance *instance, bool news, struct error *error)
{
	const struct driver *driver = driver_find(&instance->row);
	const struct driver_context context = {.directory = instance->instances->directory, .running = true};
	cleanup_target struct console_target target = {0};
	int r;

	r = driver ? driver->prepare(&instance->row, &context, &target, error)
		   : error_set(error, -ENOSYS, "This consoled has no containers");
	if (r == 0)
		r = console_start(instance->console, &target, error);
	if (r < 0)
		return r;
	instance->taken_on = true;
	instance->news = news;
	instance->status = INSTANCE_RUNNING;
	return 0;
}

static int check_update(const struct instance *instance, const struct store_row *row, struct error *error)
{
	struct error why = {0};
	int r;

	r = config_check_devices(instance->row.type, row->devices, &why);
	if (r < 0)
		return error_set(error, r, "Invalid devices: %s", error_text(&why));
	r = config_check(instance->row.type, row->config, &why);
	if (r == 0)
		r = driver_check(row, &why);
	return r < 0 ? error_set(error, r, "Invalid config: %s", error_text(&why)) : 0;
}

int instance_update(struct instance *instance, struct store_row *row, struct error *error)
{
	int r = check_update(instance, row, error);

	if (r == 0)
		r = store_update(instance->instances->store, row, error);
	if (r < 0)
		return r;
	store_row_finish(&instance->row);
	instance->row = *row;
	*row = (struct store_row){0};
	publish(instance, "instance-updated", NULL);
	return 0;
}

int instance_create(struct instance **result, struct instances *instances, struct store_row *row, struct error *error)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	int r;

	if (!instance) {
		store_row_finish(row);
		return -ENOMEM;
	}
	list_init(&instance->link);
	list_init(&instance->doomed);
	list_init(&instance->crowded);
	list_init(&instance->tasks);
	list_init(&instance->sessions);
	list_init(&instance->readers);
	instance->instances = instances;
	instance->pidfd = -1;
	instance->row = *row;
	*row = (struct store_row){0};
	instance->status = INSTANCE_STOPPED;
	r = console_create(&instance->console, instances->consoles, instance->row.name,
			   instance_capacity(&instance->row), &console_handler, instance, error);
	if (r < 0) {
		instance_destroy(instance, NULL);
		return r;
	}
	if (console_keeper_pid(instance->console) > 0) /* running, resting, or its end will be told in a moment */
		instance->status = console_frozen(instance->console) ? INSTANCE_FROZEN : INSTANCE_RUNNING;
	if (console_pid(instance->console) > 0)
		instance->pidfd = pidfd_open(console_pid(instance->console), 0);
	*result = instance;
	return 0;
}

/* Nobody looks at it any more. */
static void part(struct instance *instance, const char *why)
{
	struct session *session, *after;

	list_for_each_safe (session, after, &instance->sessions, link)
		session_cancel(session, why);
	while (!list_empty(&instance->readers)) {
		struct instance_reader *reader = list_first(&instance->readers, struct instance_reader, link);

		list_remove(&reader->link);
		reader->gone(reader);
	}
}

void instance_rename(struct instance *instance, char *name)
{
	part(instance, "the instance is renamed");
	free(instance->row.name);
	instance->row.name = name;
}

void instance_destroy(struct instance *instance, const char *why)
{
	if (!instance)
		return;
	part(instance, why);
	tasks_finish_all(instance, "The daemon is shutting down");
	list_remove(&instance->doomed);
	list_remove(&instance->crowded);
	list_remove(&instance->link);
	close_fd(&instance->pidfd);
	console_destroy(instance->console);
	store_row_finish(&instance->row);
	free(instance);
}
