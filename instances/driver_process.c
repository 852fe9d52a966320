// SPDX-License-Identifier: Apache-2.0
#include "instances/devices.h"
#include "instances/driver.h"
#include "instances/value.h"
#include "util/cleanup.h"
#include "util/words.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define ENVIRONMENT_PREFIX "environment."
#define ENVIRONMENT_MAX 256
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The environment under construction: "NAME=value" strings, each malloc'ed. */
struct environment {
	char *entries[ENVIRONMENT_MAX + 1];
	size_t count;
};

static void environment_finish(struct environment *environment)
{
	for (size_t i = 0; i < environment->count; i++)
		free(environment->entries[i]);
}

/* Sets a variable; a later value replaces an earlier one. */
static int environment_set(struct environment *environment, const char *name, const char *value)
{
	size_t length = strlen(name), at;
	char *entry;

	for (at = 0; at < environment->count; at++)
		if (strncmp(environment->entries[at], name, length) == 0 && environment->entries[at][length] == '=')
			break;
	if (at == ENVIRONMENT_MAX)
		return -E2BIG;
	if (asprintf(&entry, "%s=%s", name, value) < 0)
		return -ENOMEM;
	if (at < environment->count)
		free(environment->entries[at]);
	else
		environment->count++;
	environment->entries[at] = entry;
	return 0;
}

/* What a login would set, then the instance's own environment.* over it. */
static int environment_fill(struct environment *environment, const struct passwd *user, const json_t *config)
{
	const struct {
		const char *name, *value;
	} defaults[] = {
		{"PATH", DEFAULT_PATH},     {"HOME", user->pw_dir},    {"USER", user->pw_name},
		{"LOGNAME", user->pw_name}, {"SHELL", user->pw_shell}, {"TERM", "xterm-256color"},
		{"LANG", "C.UTF-8"},
	};
	const char *key;
	json_t *value;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(defaults) / sizeof(defaults[0]); i++)
		r = environment_set(environment, defaults[i].name, defaults[i].value);
	json_object_foreach ((json_t *)config, key, value) {
		if (r == 0 && strncmp(key, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) == 0)
			r = environment_set(environment, key + strlen(ENVIRONMENT_PREFIX), json_string_value(value));
	}
	return r;
}

/* Looks up process.user, a name or a number; the daemon's own user where it is not set. */
static int find_user(const json_t *config, struct passwd *user, char *space, size_t size, struct error *error)
{
	const char *name = value_get(config, "process.user", NULL);
	struct passwd *found = NULL;
	char *end = NULL;
	uid_t uid = geteuid();

	if (name)
		uid = (uid_t)strtoul(name, &end, 10);
	if (!name || *end == '\0')
		getpwuid_r(uid, user, space, size, &found);
	else
		getpwnam_r(name, user, space, size, &found);
	if (found)
		return 0;
	if (!name) { /* a user without an entry runs things all the same */
		static char none[] = "", root[] = "/", shell[] = "/bin/sh";

		*user = (struct passwd){
			.pw_uid = uid, .pw_gid = getegid(), .pw_name = none, .pw_dir = root, .pw_shell = shell};
		return 0;
	}
	return error_set(error, -EINVAL, "process.user: no such user: %s", name);
}

static enum console_restart restart_policy(const json_t *config)
{
	const char *policy = value_get(config, "process.restart", "no");

	if (strcmp(policy, "always") == 0)
		return CONSOLE_RESTART_ALWAYS;
	return strcmp(policy, "on-failure") == 0 ? CONSOLE_RESTART_ON_FAILURE : CONSOLE_RESTART_NO;
}

static bool process_serves(const struct store_row *row)
{
	return row->type == INSTANCE_CONTAINER && value_get(row->config, "process.command", NULL) != NULL;
}

static int process_check(const struct store_row *row, struct error *error)
{
	static const char *const containers[] = {"limits.cpu", "limits.memory", "raw.lxc", "security.privileged"};
	const char *name;

	if (devices_root(row->devices, &name) && devices_rootfs(row->devices))
		return error_set(error, -EINVAL,
				 "process.command: device \"%s\" has the root of a container already, and an instance "
				 "runs one or the other",
				 name);
	for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++)
		if (value_get(row->config, containers[i], NULL))
			return error_set(error, -EINVAL, "%s: only for containers, not for programs (process.command)",
					 containers[i]);
	return 0;
}

static int process_prepare(const struct store_row *row, const struct driver_context *context,
			   struct console_target *target, struct error *error)
{
	__attribute__((cleanup(environment_finish))) struct environment environment = {0};
	cleanup_free char **argv = NULL;
	struct passwd user;
	char space[4096];
	int r;

	r = words_split(value_get(row->config, "process.command", ""), &argv, error);
	if (r < 0)
		return r;
	if (!argv[0])
		return error_set(error, -EINVAL, "process.command: names no program");
	r = find_user(row->config, &user, space, sizeof(space), error);
	if (r < 0)
		return r;
	if (user.pw_uid != geteuid() && geteuid() != 0)
		return error_set(error, -EPERM, "process.user: only a daemon that runs as root can be another user");
	r = environment_fill(&environment, &user, row->config);
	if (r < 0)
		return error_set(error, r, "environment: %s", strerror(-r));
	return pack_program(
		&(struct console_program){
			.argv = argv,
			.environment = environment.entries,
			.directory = value_get(row->config, "process.directory",
					       access(user.pw_dir, X_OK) == 0 ? user.pw_dir : "/"),
			.uid = user.pw_uid,
			.gid = user.pw_gid,
			.user = geteuid() == 0 ? user.pw_name : NULL,
			.restart = restart_policy(row->config),
		},
		target, error);
}

const struct driver driver_process = {
	.name = "process",
	.serves = process_serves,
	.check = process_check,
	.prepare = process_prepare,
};
