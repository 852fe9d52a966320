// SPDX-License-Identifier: Apache-2.0
#include "instances/devices.h"
#include "instances/value.h"
#include "util/size.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define MTU_MIN 68 /* RFC 791 */
#define MTU_MAX 65535

static bool is_absolute(const char *value)
{
	return *value == '/';
}

static bool is_path(const char *value)
{
	if (*value != '/')
		return false;
	while (*value) {
		size_t length = strcspn(++value, "/");

		if (length == 2 && strncmp(value, "..", 2) == 0)
			return false;
		value += length;
	}
	return true;
}

static bool is_size(const char *value)
{
	uint64_t bytes;

	return size_parse(value, &bytes) == 0;
}

/* As the kernel has it: dev_valid_name() in net/core/dev.c. */
static bool is_interface(const char *value)
{
	if (strlen(value) >= IFNAMSIZ || strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
		return false;
	for (; *value; value++)
		if (*value == '/' || *value == ':' || isspace((unsigned char)*value))
			return false;
	return true;
}

static bool is_hwaddr(const char *value)
{
	for (int i = 0; i < 6; i++, value += 3)
		if (!isxdigit((unsigned char)value[0]) || !isxdigit((unsigned char)value[1]) ||
		    value[2] != (i < 5 ? ':' : '\0'))
			return false;
	return true;
}

static bool is_mtu(const char *value)
{
	size_t digits = strspn(value, "0123456789");
	unsigned long mtu = strtoul(value, NULL, 10);

	return digits > 0 && value[digits] == '\0' && mtu >= MTU_MIN && mtu <= MTU_MAX;
}

static bool is_nictype(const char *value)
{
	return strcmp(value, "bridged") == 0 || strcmp(value, "macvlan") == 0 || strcmp(value, "physical") == 0;
}

/* The keys there are, besides `type`. An empty value is the same as none. */
static const struct option {
	const char *type, *key;
	bool (*check)(const char *value); /* NULL: holds anything */
	const char *expected;
} options[] = {
	{"disk", "path", is_path, "an absolute path without \"..\""},
	{"disk", "pool", NULL, NULL},
	{"disk", "readonly", value_is_bool, "true or false"},
	{"disk", "size", is_size, "a size such as 10GiB"},
	{"disk", "source", is_absolute, "an absolute path"},
	{"nic", "hwaddr", is_hwaddr, "an address such as 00:16:3e:12:34:56"},
	{"nic", "mtu", is_mtu, "a number from 68 to 65535"},
	{"nic", "name", is_interface, "the name of a network interface"},
	{"nic", "nictype", is_nictype, "one of bridged, macvlan, physical"},
	{"nic", "parent", is_interface, "the name of a network interface"},
};

static const struct option *find_option(const char *type, const char *key)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(options[i].type, type) == 0 && strcmp(options[i].key, key) == 0)
			return &options[i];
	return NULL;
}

static int check_option(const char *type, const char *key, const char *value, struct error *error)
{
	const struct option *option = find_option(type, key);

	if (strcmp(key, "type") == 0)
		return 0;
	if (!option)
		return error_set(error, -EINVAL, "Invalid device option \"%s\"", key);
	if (*value && option->check && !option->check(value))
		return error_set(error, -EINVAL, "%s: %s, not \"%s\"", key, option->expected, value);
	return 0;
}

static int check_options(const char *type, const json_t *device, struct error *error)
{
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach ((json_t *)device, key, value) {
		r = json_is_string(value) ? check_option(type, key, json_string_value(value), error)
					  : error_set(error, -EINVAL, "%s: the value must be a string", key);
		if (r < 0)
			break;
	}
	return r;
}

static int check_type(const char *type, struct error *error)
{
	if (strcmp(type, "disk") == 0 || strcmp(type, "nic") == 0 || strcmp(type, "none") == 0)
		return 0;
	return error_set(error, -EINVAL, "type: one of disk, nic, none, not \"%s\"", type);
}

static int check_disk(enum instance_type type, const json_t *device, struct error *error)
{
	if (type == INSTANCE_CONTAINER && value_get(device, "size", NULL))
		return error_set(error, -EINVAL,
				 "size: only for virtual machines: a container's disk is the directory that source "
				 "names, as large as it is");
	if (!device_is_root(device) && value_get(device, "pool", NULL))
		return error_set(error, -EINVAL, "pool: only for the root disk (path=/)");
	return 0;
}

int device_check(enum instance_type type, const char *name, const json_t *device, struct error *error)
{
	const char *kind = value_get(device, "type", "");
	struct error why = {0};
	int r;

	r = json_is_object(device) ? 0 : error_set(&why, -EINVAL, "must be an object of strings");
	if (r == 0 && json_object_get(device, "type") && !json_is_string(json_object_get(device, "type")))
		r = error_set(&why, -EINVAL, "type: the value must be a string");
	if (r == 0)
		r = check_type(kind, &why);
	if (r == 0)
		r = check_options(kind, device, &why);
	if (r == 0 && strcmp(kind, "disk") == 0)
		r = check_disk(type, device, &why);
	return r < 0 ? error_set(error, r, "Device validation failed for \"%s\": %s", name, error_text(&why)) : 0;
}

bool device_is_root(const json_t *device)
{
	const char *path = value_get(device, "path", "");

	return strcmp(value_get(device, "type", ""), "disk") == 0 && *path && path[strspn(path, "/")] == '\0';
}

const json_t *devices_root(const json_t *devices, const char **name)
{
	const char *key;
	json_t *device;

	json_object_foreach ((json_t *)devices, key, device) {
		if (!device_is_root(device))
			continue;
		if (name)
			*name = key;
		return device;
	}
	return NULL;
}

const char *devices_rootfs(const json_t *devices)
{
	return value_get(devices_root(devices, NULL), "source", NULL);
}
