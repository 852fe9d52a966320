// SPDX-License-Identifier: Apache-2.0
#include "instances/config.h"
#include "instances/devices.h"
#include "instances/driver_serial.h"
#include "instances/limit.h"
#include "instances/raw_lxc.h"
#include "instances/raw_qemu.h"
#include "instances/value.h"
#include "util/cleanup.h"
#include "util/size.h"
#include "util/words.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUFFER_SIZE_MIN (64 * UINT64_C(1024))
#define BUFFER_SIZE_MAX (64 * UINT64_C(1024) * 1024)

static int check_command(const char *key, const char *value, struct error *error)
{
	cleanup_free char **words = NULL;
	struct error reason = {0};
	int r = words_split(value, &words, &reason);

	if (r < 0)
		return error_set(error, r, "%s: %s", key, error_text(&reason));
	if (*value && (!words[0] || !*words[0]))
		return error_set(error, -EINVAL, "%s: names no program", key);
	return 0;
}

static int check_path(const char *key, const char *value, struct error *error)
{
	if (*value && *value != '/')
		return error_set(error, -EINVAL, "%s: an absolute path, not \"%s\"", key, value);
	return 0;
}

static int check_user(const char *key, const char *value, struct error *error)
{
	const struct passwd *user;

	if (!*value)
		return 0;
	if (value[strspn(value, "0123456789")] == '\0') {
		uint64_t uid = strtoull(value, NULL, 10); /* what does not fit stays too large */

		user = uid < UINT32_MAX ? getpwuid((uid_t)uid) : NULL;
	} else {
		user = getpwnam(value);
	}
	return user ? 0 : error_set(error, -EINVAL, "%s: no such user: %s", key, value);
}

static int check_restart(const char *key, const char *value, struct error *error)
{
	if (!*value || strcmp(value, "no") == 0 || strcmp(value, "on-failure") == 0 || strcmp(value, "always") == 0)
		return 0;
	return error_set(error, -EINVAL, "%s: one of no, on-failure, always, not \"%s\"", key, value);
}

static int check_environment(const char *key, const char *value, struct error *error)
{
	if (strchr(key, '='))
		return error_set(error, -EINVAL, "%s: a variable's name cannot contain '='", key);
	return 0;
}

static int check_bool(const char *key, const char *value, struct error *error)
{
	if (!*value || value_is_bool(value))
		return 0;
	return error_set(error, -EINVAL, "%s: true or false, not \"%s\"", key, value);
}

static int check_buffer_size(const char *key, const char *value, struct error *error)
{
	uint64_t bytes;

	if (!*value)
		return 0;
	if (size_parse(value, &bytes) == 0 && bytes >= BUFFER_SIZE_MIN && bytes <= BUFFER_SIZE_MAX &&
	    (bytes & (bytes - 1)) == 0)
		return 0;
	return error_set(error, -EINVAL, "%s: a power of two from 64KiB to 64MiB, such as 1MiB, not \"%s\"", key,
			 value);
}

static int check_memory(const char *key, const char *value, struct error *error)
{
	uint64_t bytes;

	if (!*value || limit_parse_memory(value, UINT64_MAX, &bytes) == 0)
		return 0;
	return error_set(error, -EINVAL,
			 "%s: a size such as 512MiB, or a share of the machine's such as 50%%, not \"%s\"", key, value);
}

static int check_cpus(const char *key, const char *value, struct error *error)
{
	unsigned int number;
	cpu_set_t set;

	if (!*value || limit_parse_cpus(value, &number, &set) == 0)
		return 0;
	return error_set(error, -EINVAL, "%s: a number of CPUs, or a set of them such as 0-1,3, not \"%s\"", key,
			 value);
}

static int check_raw_lxc(const char *key, const char *value, struct error *error)
{
	struct items items = {0};
	int r = raw_lxc_parse(value, &items, error);

	items_finish(&items);
	return r;
}

static int check_raw_qemu(const char *key, const char *value, struct error *error)
{
	cleanup_free char **words = NULL;

	return raw_qemu_split(value, &words, error);
}

static int check_accel(const char *key, const char *value, struct error *error)
{
	if (!*value || strcmp(value, "auto") == 0 || strcmp(value, "kvm") == 0 || strcmp(value, "tcg") == 0)
		return 0;
	return error_set(error, -EINVAL, "%s: one of auto, kvm, tcg, not \"%s\"", key, value);
}

static int check_flow(const char *key, const char *value, struct error *error)
{
	enum serial_flow flow;

	if (!*value || driver_serial_parse_flow(value, &flow) == 0)
		return 0;
	return error_set(error, -EINVAL, "%s: one of none, rtscts, xonxoff, not \"%s\"", key, value);
}

static int check_speed(const char *key, const char *value, struct error *error)
{
	struct console_serial serial;

	if (!*value || driver_serial_parse_speed(value, &serial) == 0)
		return 0;
	return error_set(
		error, -EINVAL,
		"%s: a speed such as 115200, perhaps with data bits, parity and stop bits such as 9600,7e1, not "
		"\"%s\"",
		key, value);
}

static int check_viewers(const char *key, const char *value, struct error *error)
{
	if (!*value || strcmp(value, "one") == 0 || strcmp(value, "many") == 0)
		return 0;
	return error_set(error, -EINVAL, "%s: one of one, many, not \"%s\"", key, value);
}

enum {
	CONTAINERS = 1 << INSTANCE_CONTAINER,
	MACHINES = 1 << INSTANCE_VIRTUAL_MACHINE,
};

/* The keys there are. An empty value is the same as none, so every check lets it pass. */
static const struct key {
	const char *name; /* with a '.' at its end: all keys that begin so */
	unsigned int types;
	int (*check)(const char *key, const char *value, struct error *error); /* NULL: holds anything */
} keys[] = {
	{"boot.autostart", CONTAINERS | MACHINES, check_bool},
	{"console.buffer.size", CONTAINERS | MACHINES, check_buffer_size},
	{"consoled.accel", MACHINES, check_accel},
	{"consoled.viewers", MACHINES, check_viewers},
	{"environment.", CONTAINERS, check_environment},
	{"limits.cpu", CONTAINERS | MACHINES, check_cpus},
	{"limits.memory", CONTAINERS | MACHINES, check_memory},
	{"process.command", CONTAINERS, check_command},
	{"process.directory", CONTAINERS, check_path},
	{"process.restart", CONTAINERS, check_restart},
	{"process.user", CONTAINERS, check_user},
	{"raw.lxc", CONTAINERS, check_raw_lxc},
	{"raw.qemu", MACHINES, check_raw_qemu},
	{"security.privileged", CONTAINERS, check_bool},
	{"serial.device", CONTAINERS, check_path},
	{"serial.flow", CONTAINERS, check_flow},
	{"serial.speed", CONTAINERS, check_speed},
	{"user.", CONTAINERS | MACHINES, NULL},
	{"volatile.", CONTAINERS | MACHINES, NULL},
};

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t length = strlen(keys[i].name);
		bool is_prefix = keys[i].name[length - 1] == '.';

		if (strncmp(name, keys[i].name, length) == 0 && is_prefix == (name[length] != '\0'))
			return &keys[i];
	}
	return NULL;
}

static int check_key(enum instance_type type, const char *name, const json_t *value, struct error *error)
{
	const struct key *key = find_key(name);

	if (!key)
		return error_set(error, -EINVAL, "Unknown configuration key: %s", name);
	if (!(key->types & (1U << type)))
		return error_set(error, -EINVAL, "%s: not for %s", name,
				 type == INSTANCE_CONTAINER ? "containers" : "virtual machines");
	if (!json_is_string(value))
		return error_set(error, -EINVAL, "%s: the value must be a string", name);
	return key->check ? key->check(name, json_string_value(value), error) : 0;
}

int config_check(enum instance_type type, const json_t *config, struct error *error)
{
	const char *name;
	json_t *value;
	int r = 0;

	if (!json_is_object(config))
		return error_set(error, -EINVAL, "config: must be an object of strings");
	json_object_foreach ((json_t *)config, name, value) {
		r = check_key(type, name, value, error);
		if (r < 0)
			break;
	}
	return r;
}

int config_check_devices(enum instance_type type, const json_t *devices, struct error *error)
{
	const char *name, *root;
	json_t *device;
	int r = 0;

	if (!json_is_object(devices))
		return error_set(error, -EINVAL, "devices: must be an object of objects");
	json_object_foreach ((json_t *)devices, name, device) {
		r = device_check(type, name, device, error);
		if (r == 0 && device_is_root(device) && devices_root(devices, &root) != device)
			r = error_set(error, -EINVAL,
				      "Device validation failed for \"%s\": path: \"%s\" is the root disk already",
				      name, root);
		if (r < 0)
			break;
	}
	return r;
}
