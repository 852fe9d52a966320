// SPDX-License-Identifier: Apache-2.0
#include "instances/instances.h"

#include "instances/history.h"
#include "instances/instance.h"
#include "instances/session.h"
#include "instances/task.h"
#include "instances/value.h"
#include "operations/events.h"
#include "util/limits.h"
#include "util/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the deadlines of sessions, the end of ephemeral instances --- */

static void on_tick(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	struct instance *instance, *next;
	struct session *session, *after;
	struct error error = {0};
	uint64_t now = uv_now(instances->loop);

	list_for_each_safe (session, after, &instances->waiting, waiting)
		if (session->deadline <= now)
			session_timeout(session);
	list_for_each_safe (instance, next, &instances->doomed, doomed) {
		if (!list_empty(&instance->sessions)) /* they still get what it wrote */
			continue;
		list_remove(&instance->doomed);
		if (instances_delete(instances, instance, NULL, &error) < 0)
			log_warn("an ephemeral instance was not deleted: %s", error_text(&error));
	}
	if (list_empty(&instances->waiting) && list_empty(&instances->doomed))
		uv_timer_stop(timer);
}

void instances_wake_ticker(struct instances *instances)
{
	if (!uv_is_active((uv_handle_t *)&instances->ticker))
		uv_timer_start(&instances->ticker, on_tick, 1000, 1000);
}

void instances_doom(struct instances *instances, struct instance *instance)
{
	list_remove(&instance->doomed); /* it may have been started again meanwhile */
	list_append(&instances->doomed, &instance->doomed);
	uv_timer_start(&instances->ticker, on_tick, 0, 1000);
}

/* --- output for many --- */

#define SERVE_MS 2

static void on_serving(uv_timer_t *timer)
{
	struct instances *instances = timer->data;
	struct instance *instance;

	while (!list_empty(&instances->crowded)) {
		instance = list_first(&instances->crowded, struct instance, crowded);
		list_remove(&instance->crowded);
		instance_serve(instance);
	}
}

void instances_serve_soon(struct instances *instances, struct instance *instance)
{
	if (list_empty(&instance->crowded))
		list_append(&instances->crowded, &instance->crowded);
	if (!uv_is_active((uv_handle_t *)&instances->serving))
		uv_timer_start(&instances->serving, on_serving, SERVE_MS, 0);
}

/* --- the registry --- */

static void insert(struct instances *instances, struct instance *instance)
{
	struct instance *other;
	struct list *before = &instances->all;

	/* From the end: loading comes in order of names, so this is the usual place. */
	for (struct list *at = instances->all.prev; at != &instances->all; at = at->prev) {
		other = container_of(at, struct instance, link);
		if (strcmp(other->row.name, instance->row.name) < 0)
			break;
		before = at;
	}
	list_append(before, &instance->link); /* the end of the list that begins at `before` is the place ahead of it */
	instances->count++;
}

/* One of ours that runs although its keeper and the daemon are both gone goes on with a new keeper. */
static void take_on_orphan(struct instance *instance)
{
	const struct driver *driver = driver_find(&instance->row);
	struct error error = {0};

	if (console_keeper_pid(instance->console) > 0 || !driver || !driver->runs)
		return;
	if (driver->runs(&instance->row, instance->instances->directory) &&
	    instance_take_on(instance, false, &error) < 0)
		log_error("%s: runs, but cannot be taken on: %s", instance->row.name, error_text(&error));
}

static int load(const struct store_row *row, void *user)
{
	struct instances *instances = user;
	struct instance *instance;
	struct error error = {0};
	struct store_row copy;

	if (instances_check_name(row->name, &error) < 0) {
		log_error("an instance was not loaded: its name is damaged: %s", error_text(&error));
		return 0;
	}
	if (store_row_copy(&copy, row) < 0)
		return -ENOMEM;
	if (instance_create(&instance, instances, &copy, &error) < 0) {
		log_error("instance %s was not loaded: %s", row->name, error_text(&error));
		return 0;
	}
	insert(instances, instance);
	take_on_orphan(instance);
	return 0;
}

int instances_apply(const char *key, const char *value, void *user, struct error *error)
{
	struct instances *instances = user;

	if (strcmp(key, "lxc.lxcpath") == 0)
		return instances_set_lxcpath(instances, value, error);
	limits_set(instances->limits, key, value);
	if (strcmp(key, "limits.database_size") == 0)
		return store_limit(instances->store, instances->limits->database_size, error);
	if (strcmp(key, "limits.drawings") == 0)
		drawings_look(&instances->drawings);
	return 0;
}

static int apply_limits(struct instances *instances, struct error *error)
{
	const char *key;
	int r = 0;

	for (unsigned int i = 0; r == 0 && (key = limits_key(i)); i++)
		r = instances_apply(key, settings_get(&instances->settings, key), instances, error);
	return r;
}

static int note_name(const struct store_row *row, void *user)
{
	return json_object_set_new_nocheck(user, row->name, json_true());
}

static bool has_name(const char *name, void *user)
{
	return json_object_get(user, name) != NULL;
}

/* An earlier daemon was killed while it renamed or deleted one. */
static int settle(struct instances *instances, struct error *error)
{
	json_auto_t *names = json_object();
	int r = store_each(instances->store, note_name, names, error);

	if (r < 0)
		return r;
	r = consoles_settle(instances->consoles, has_name, names);
	return r < 0 ? error_set(error, r, "The consoles' logs: %s", strerror(-r)) : 0;
}

int instances_init(struct instances *instances, struct error *error)
{
	int r;

	list_init(&instances->all);
	list_init(&instances->waiting);
	list_init(&instances->doomed);
	list_init(&instances->crowded);
	drawings_init(&instances->drawings, instances->limits);
	instances->count = 0;
	uv_timer_init(instances->loop, &instances->ticker);
	instances->ticker.data = instances;
	uv_timer_init(instances->loop, &instances->serving);
	instances->serving.data = instances;
	others_init(instances);
	r = settings_init(&instances->settings, instances->store, SETTINGS_LXC_CONF, error);
	if (r == 0)
		r = apply_limits(instances, error);
	if (r == 0)
		r = settle(instances, error);
	if (r == 0)
		r = store_each(instances->store, load, instances, error);
	if (r == 0)
		r = instances_set_lxcpath(instances, settings_get(&instances->settings, "lxc.lxcpath"), error);
	if (r < 0)
		instances_finish(instances);
	return r;
}

static void autostarted(struct instance_task *task, const char *error)
{
	if (error)
		log_error("an instance was not started at boot: %s", error);
	free(task);
}

void instances_autostart(struct instances *instances)
{
	struct instance *instance;

	list_for_each (instance, &instances->all, link) {
		struct instance_task *task;

		if (instance_running(instance) || !value_true(instance->row.config, "boot.autostart"))
			continue;
		task = calloc(1, sizeof(*task));
		if (!task)
			return;
		task->action = INSTANCE_START;
		task->done = autostarted;
		instance_change(instance, task);
	}
}

void instances_finish(struct instances *instances)
{
	struct instance *instance, *after;

	list_for_each_safe (instance, after, &instances->all, link)
		instance_destroy(instance, "the daemon is going away");
	uv_close((uv_handle_t *)&instances->ticker, NULL);
	uv_close((uv_handle_t *)&instances->serving, NULL);
	others_finish(instances);
	settings_finish(&instances->settings);
}

struct instance *instances_find(const struct instances *instances, const char *name)
{
	struct instance *instance;

	list_for_each (instance, &instances->all, link)
		if (strcmp(instance->row.name, name) == 0)
			return instance;
	return NULL;
}

int instances_check_name(const char *name, struct error *error)
{
	size_t length = strlen(name);

	if (length < 1 || length > INSTANCE_NAME_MAX)
		return error_set(error, -EINVAL, "Name must be 1-63 characters long");
	if (name[0] == '-')
		return error_set(error, -EINVAL, "Name must not start with \"-\" character");
	if (name[length - 1] == '-')
		return error_set(error, -EINVAL, "Name must not end with \"-\" character");
	if (strspn(name, "0123456789") == length)
		return error_set(error, -EINVAL, "Name cannot be a number");
	for (const char *c = name; *c; c++)
		if (!isascii(*c) || (!isalnum((unsigned char)*c) && *c != '-'))
			return error_set(error, -EINVAL, "Name can only contain alphanumeric and hyphen characters");
	return 0;
}

/* A new one, which is `created`, joins the others. */
static void welcome(struct instances *instances, struct instance *instance, const struct identity *requestor)
{
	// NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what was made is there
	json_t *context = json_pack("{s:s}", "type", instance_type_name(instance->row.type));

	insert(instances, instance);
	events_lifecycle(instances->events, "instance-created", instance->row.name, requestor, context);
	json_decref(context);
}

int instances_put_in(struct instances *instances, struct store_row *row, const struct identity *requestor,
		     struct error *error)
{
	struct instance *instance = NULL;
	int r = instance_create(&instance, instances, row, error);

	if (r == 0)
		welcome(instances, instance, requestor);
	return r;
}

/* Removes what was left of another of that name, whose console could not be removed with it. */
static int clear_place(struct instances *instances, const char *name, struct error *error)
{
	int r = console_remove(instances->consoles, name);

	if (r == -EBUSY) /* the keeper of that one is about to end */
		return 0;
	if (r < 0)
		error_set(error, r, "The log of an earlier \"%s\" is in the way: %s", name, strerror(-r));
	return r;
}

static int begin_place(struct instances *instances, const char *name, struct error *error)
{
	int r = console_begin_make(instances->consoles, name);

	return r < 0 ? error_set(error, r, "The place of the log of \"%s\": %s", name, strerror(-r)) : 0;
}

/* Within a transaction: makes the row's instance. Consumes the row. */
static int make(struct instances *instances, struct store_row *row, struct instance **instance, struct error *error)
{
	int r = store_insert(instances->store, row, error);

	if (r == 0)
		r = clear_place(instances, row->name, error);
	if (r == 0)
		r = begin_place(instances, row->name, error);
	if (r == 0)
		r = instance_create(instance, instances, row, error);
	store_row_finish(row);
	return r;
}

static int check_new(const struct instances *instances, const char *name, struct error *error)
{
	if (instances->count >= instances->limits->instances)
		return error_set(error, -EAGAIN, "Too many instances: limits.instances is %" PRIu64,
				 instances->limits->instances);
	/* A container that is not ours has its name, too. */
	return instances_find(instances, name) ? -EEXIST : 0;
}

int instances_add(struct instances *instances, struct store_row *row, const struct identity *requestor,
		  struct error *error)
{
	struct instance *instance = NULL;
	char name[INSTANCE_NAME_MAX + 1];
	int r;

	strcpy(name, row->name); /* names have been checked, so it fits */
	r = check_new(instances, name, error);
	if (r == 0)
		r = store_begin(instances->store, error);
	if (r == 0)
		r = store_end(instances->store, make(instances, row, &instance, error), error);
	store_row_finish(row);
	if (r == 0) {
		console_end_make(instances->consoles, name);
		welcome(instances, instance, requestor);
		return 0;
	}
	if (r == -EEXIST)
		error_set(error, r,
			  "Failed creating instance record: Add instance info to the database: "
			  "This \"instances\" entry already exists");
	if (instance) {
		instance_destroy(instance, NULL);
		console_remove(instances->consoles, name);
	}
	if (r != -EEXIST)
		console_end_make(instances->consoles, name);
	return r;
}

/* Takes the place of an instance on disk from `from` to `to`, wherever the daemon is killed meanwhile. */
static int move_on_disk(struct instances *instances, const char *from, const char *to, struct error *error)
{
	int r = console_begin_move(instances->consoles, from, to), ended;

	if (r < 0)
		return error_set(error, r, "The console's log could not be renamed: %s", strerror(-r));
	r = store_rename(instances->store, from, to, error);
	ended = console_end_move(instances->consoles, from, to, r == 0);
	if (ended < 0)
		log_warn("%s: its console's log: %s", r == 0 ? to : from, strerror(-ended));
	return r;
}

int instances_rename(struct instances *instances, struct instance *instance, const char *name,
		     const struct identity *requestor, struct error *error)
{
	char *copy, old[INSTANCE_NAME_MAX + 1];
	json_t *context;
	int r;

	if (instance_running(instance) || !list_empty(&instance->tasks))
		return error_set(error, -EBUSY, "Renaming of running container not allowed");
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	strcpy(old, instance->row.name);
	r = clear_place(instances, name, error);
	if (r == 0)
		r = move_on_disk(instances, old, name, error);
	if (r < 0) {
		free(copy);
		return r;
	}
	instance_rename(instance, copy);
	list_remove(&instance->link);
	instances->count--;
	insert(instances, instance);
	history_rename(instances->history, old, name);
	context = json_pack("{s:s}", "old_name", old);
	events_lifecycle(instances->events, "instance-renamed", name, requestor, context);
	json_decref(context);
	return 0;
}

void instances_drop(struct instances *instances, struct instance *instance, const struct identity *requestor)
{
	char name[INSTANCE_NAME_MAX + 1];
	int r;

	strcpy(name, instance->row.name);
	instance_destroy(instance, "the instance is deleted");
	instances->count--;
	history_forget(instances->history, name);
	r = console_remove(instances->consoles, name);
	if (r < 0)
		log_warn("%s: its console's log was not removed: %s", name, strerror(-r));
	events_lifecycle(instances->events, "instance-deleted", name, requestor, json_null());
}

int instances_delete(struct instances *instances, struct instance *instance, const struct identity *requestor,
		     struct error *error)
{
	const struct driver *driver;
	int r;

	if (instance_running(instance) || !list_empty(&instance->tasks))
		return error_set(error, -EBUSY, "Instance is running");
	r = console_begin_move(instances->consoles, instance->row.name, "");
	if (r < 0)
		return error_set(error, r, "The console's log could not be removed: %s", strerror(-r));
	r = store_delete(instances->store, instance->row.name, error);
	if (r < 0) {
		console_end_move(instances->consoles, instance->row.name, "", false);
		return r;
	}
	driver = driver_find(&instance->row);
	if (driver && driver->forget)
		driver->forget(&instance->row);
	instances_drop(instances, instance, requestor);
	store_reserve(instances->store);
	return 0;
}
