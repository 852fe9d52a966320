// SPDX-License-Identifier: Apache-2.0
#include "instances/others.h"

#include "instances/instance.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIES 3         /* to take on one that runs */
#define RETRY_AFTER 200 /* ms */
#define LOOK_AGAIN 500  /* ms, while clients still get the last of one that is gone */

static void forget_previous(struct others *others)
{
	lxcpath_destroy(others->previous);
	others->previous = NULL;
}

static void on_timer(uv_timer_t *timer)
{
	struct instances *instances = timer->data;

	forget_previous(&instances->others);
	instances_look(instances);
}

static void look_within(struct instances *instances, uint64_t milliseconds)
{
	uv_timer_t *timer = &instances->others.timer;

	if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > milliseconds)
		uv_timer_start(timer, on_timer, milliseconds, 0);
}

/* --- definitions that come and go --- */

static bool gone(const struct lxcpath *lxcpath, const struct instance *instance)
{
	int64_t defined_at;

	return strcmp(instance->row.lxcpath, lxcpath_path(lxcpath)) != 0 ||
	       lxcpath_find(lxcpath, instance->row.name, &defined_at) == -ENOENT;
}

/* Removes it if it is gone and nothing of it is left to be done. */
static void check_gone(struct instance *instance)
{
	struct instances *instances = instance->instances;

	if (console_keeper_pid(instance->console) > 0 || !gone(instances->others.lxcpath, instance))
		return;
	if (list_empty(&instance->sessions) && list_empty(&instance->tasks))
		instances_drop(instances, instance, NULL);
	else
		look_within(instances, LOOK_AGAIN);
}

/* Letters, digits and what is harmless in a path, a URL and a terminal: LXC itself takes nearly anything. */
static bool name_fits(const char *name)
{
	size_t length = strlen(name);

	for (const char *c = name; *c; c++)
		if (!isascii(*c) || (!isalnum((unsigned char)*c) && !strchr("-_.", *c)))
			return false;
	return length <= INSTANCE_NAME_MAX;
}

/* A name may be no UTF-8, and do things to a terminal; those that look the same then are warned of once. */
static void leave_out(struct others *others, const char *name, const char *reason)
{
	char shown[NAME_MAX + 1];

	snprintf(shown, sizeof(shown), "%s", name);
	for (char *c = shown; *c; c++)
		if (!isascii(*c) || !isprint((unsigned char)*c))
			*c = '?';
	if (json_object_get(others->left_out, shown))
		return;
	log_warn("%s/%s is left out: %s", lxcpath_path(others->lxcpath), shown, reason);
	json_object_set_new(others->left_out, shown, json_true());
}

static void add(struct instances *instances, const char *name, int64_t defined_at)
{
	const char *path = lxcpath_path(instances->others.lxcpath);
	struct store_row row = {
		.name = strdup(name),
		.type = INSTANCE_CONTAINER,
		.config = json_object(),
		.devices = json_object(),
		.profiles = json_array(),
		.created_at = defined_at,
		.lxcpath = strdup(path),
	};
	struct error error = {0};

	if (asprintf(&row.description, "Defined in %s", path) < 0)
		row.description = NULL;
	if (!row.name || !row.description || !row.config || !row.devices || !row.profiles || !row.lxcpath)
		store_row_finish(&row);
	else if (instances_put_in(instances, &row, NULL, &error) < 0)
		leave_out(&instances->others, name, error_text(&error));
}

static void on_definition(const char *name, int64_t defined_at, void *user)
{
	struct instances *instances = user;
	struct instance *instance = instances_find(instances, name);

	if (instance && !instance->row.lxcpath)
		leave_out(&instances->others, name, "an instance has that name");
	else if (!instance && !name_fits(name))
		leave_out(&instances->others, name, "its name is too long, or holds more than A-Z a-z 0-9 - _ .");
	else if (!instance)
		add(instances, name, defined_at);
}

/* --- who runs --- */

void others_ended(struct instance *instance)
{
	instance->tries = 0;
	instance->retry_at = 0;
	look_within(instance->instances, 0);
}

void others_failed(struct instance *instance)
{
	instance->tries++;
	instance->retry_at = uv_now(instance->instances->loop) + RETRY_AFTER;
	look_within(instance->instances, RETRY_AFTER);
}

/* Takes it on if it runs without a keeper. */
static void check_running(struct instance *instance)
{
	struct instances *instances = instance->instances;
	struct error error = {0};

	if (console_keeper_pid(instance->console) > 0)
		return;
	if (!lxcpath_running(instance->row.lxcpath, instance->row.name)) {
		instance->tries = 0;
		instance->retry_at = 0;
		return;
	}
	if (instance->tries == TRIES || uv_now(instances->loop) < instance->retry_at || !list_empty(&instance->tasks))
		return;
	if (instance_take_on(instance, instances->others.looked, &error) < 0) {
		log_warn("%s: runs, but cannot be taken on: %s", instance->row.name, error_text(&error));
		others_failed(instance);
	}
}

static void look_at(struct instance *instance)
{
	if (instance->row.lxcpath)
		check_running(instance);
	instance_look(instance);
}

void instances_look(struct instances *instances)
{
	struct others *others = &instances->others;
	struct instance *instance, *after;
	int r;

	if (!others->lxcpath)
		return;
	list_for_each_safe (instance, after, &instances->all, link)
		if (instance->row.lxcpath)
			check_gone(instance);
	r = lxcpath_each(others->lxcpath, on_definition, instances);
	if (r < 0)
		leave_out(others, "", strerror(-r));
	list_for_each (instance, &instances->all, link)
		look_at(instance);
	others->looked = true;
}

struct instance *instances_find_now(struct instances *instances, const char *name)
{
	const struct lxcpath *lxcpath = instances->others.lxcpath;
	struct instance *instance = instances_find(instances, name);
	int64_t defined_at;

	if (!lxcpath)
		return instance;
	if (instance && instance->row.lxcpath)
		check_gone(instance);
	else if (!instance && name_fits(name) && lxcpath_find(lxcpath, name, &defined_at) == 0)
		on_definition(name, defined_at, instances);
	instance = instances_find(instances, name);
	if (instance)
		look_at(instance);
	return instance;
}

static void on_news(const char *name, void *user)
{
	if (name)
		instances_find_now(user, name);
	else
		instances_look(user);
}

/* --- the lxcpath --- */

/* LXC says where its containers are by an lxcpath that has no slash at its end: the length without. */
static size_t length_of(const char *path)
{
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	return length;
}

static bool is_at(const struct lxcpath *lxcpath, const char *path)
{
	size_t length = length_of(path);

	return lxcpath && strlen(lxcpath_path(lxcpath)) == length && strncmp(lxcpath_path(lxcpath), path, length) == 0;
}

static int create(struct lxcpath **lxcpath, struct instances *instances, const char *path)
{
	cleanup_free char *wanted = strndup(path, length_of(path));

	return wanted ? lxcpath_create(lxcpath, instances->loop, wanted, on_news, instances) : -ENOMEM;
}

static int check_idle(const struct instances *instances, struct error *error)
{
	const struct instance *instance;

	list_for_each (instance, &instances->all, link)
		if (instance->row.lxcpath && (instance_running(instance) || !list_empty(&instance->tasks)))
			return error_set(error, -EBUSY, "The container %s of %s is running", instance->row.name,
					 instance->row.lxcpath);
	return 0;
}

int instances_set_lxcpath(struct instances *instances, const char *path, struct error *error)
{
	struct others *others = &instances->others;
	struct lxcpath *lxcpath = NULL;
	int r = 0;

	if (geteuid() != 0 || is_at(others->lxcpath, path))
		return 0;
	if (others->lxcpath)
		r = check_idle(instances, error);
	if (r == 0 && is_at(others->previous, path)) {
		lxcpath = others->previous;
		others->previous = NULL;
	} else if (r == 0) {
		r = create(&lxcpath, instances, path);
	}
	if (r < 0)
		return r;
	forget_previous(others);
	others->previous = others->lxcpath;
	others->lxcpath = lxcpath;
	others->looked = false;
	json_object_clear(others->left_out);
	look_within(instances, 0); /* not now: the caller may change its mind */
	return 0;
}

/* --- life --- */

void others_init(struct instances *instances)
{
	instances->others = (struct others){.left_out = json_object()};
	uv_timer_init(instances->loop, &instances->others.timer);
	instances->others.timer.data = instances;
}

void others_finish(struct instances *instances)
{
	forget_previous(&instances->others);
	lxcpath_destroy(instances->others.lxcpath);
	json_decref(instances->others.left_out);
	uv_close((uv_handle_t *)&instances->others.timer, NULL);
}
