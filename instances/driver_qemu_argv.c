// SPDX-License-Identifier: Apache-2.0
#include "instances/devices.h"
#include "instances/driver_qemu.h"
#include "instances/limit.h"
#include "instances/raw_qemu.h"
#include "instances/value.h"
#include "util/cleanup.h"
#include "util/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_DEFAULT "1GiB" /* LXD's */

static void add(struct items *arguments, const char *option, const char *value)
{
	items_add(arguments, "%s", option);
	if (value)
		items_add(arguments, "%s", value);
}

/* Takes `value` as JSON, for it may hold names from outside. */
static void add_json(struct items *arguments, const char *option, json_t *value)
{
	cleanup_free char *text = value ? json_text(value, JSON_COMPACT) : NULL;

	json_decref(value);
	if (text)
		add(arguments, option, text);
	else
		arguments->failed = true;
}

/* The same at each start and after a rename: made of the time when the instance was (RFC 9562, version 8). */
static void add_uuid(const struct store_row *row, struct items *arguments)
{
	uint64_t time = (uint64_t)row->created_at;

	items_add(arguments, "-uuid");
	items_add(arguments, "%08x-%04x-8%03x-8%03x-000000000000", (unsigned int)(time >> 32),
		  (unsigned int)(time >> 16 & 0xffff), (unsigned int)(time >> 4 & 0xfff), (unsigned int)(time & 0xf));
}

static void add_base(const struct store_row *row, const struct driver_qemu_host *host, struct items *arguments)
{
	const char *accel = value_get(row->config, "consoled.accel", "auto"); /* which the keeper resolves */

	add(arguments, host->qemu, NULL);
	add(arguments, "-nodefaults", NULL);
	add(arguments, "-no-user-config", NULL);
	add(arguments, "-name", row->name);
	add_uuid(row, arguments);
	add(arguments, "-M", "q35");
	add(arguments, "-accel", accel);
	add(arguments, "-cpu", "max"); /* all that the accelerator has */
}

static int add_limits(const struct store_row *row, const struct driver_qemu_host *host, struct items *arguments,
		      struct error *error)
{
	const char *memory = value_get(row->config, "limits.memory", MEMORY_DEFAULT);
	const char *cpus = value_get(row->config, "limits.cpu", "1");
	unsigned int number;
	uint64_t bytes;
	cpu_set_t set;

	if (limit_parse_memory(memory, host->memory_total, &bytes) < 0 || bytes < DRIVER_QEMU_MEMORY_MIN)
		return error_set(error, -EINVAL, "limits.memory: a virtual machine needs 1MiB at least, not \"%s\"",
				 memory);
	if (limit_parse_cpus(cpus, &number, &set) < 0 || number == 0)
		return error_set(error, -EINVAL, "limits.cpu: a virtual machine has a number of CPUs, not \"%s\"",
				 cpus);
	items_add(arguments, "-m");
	items_add(arguments, "%" PRIu64 "M", bytes / DRIVER_QEMU_MEMORY_MIN);
	items_add(arguments, "-smp");
	items_add(arguments, "%u", number);
	return 0;
}

/*
 * QEMU opens all that it needs first, as who started it, and is nobody of importance when the guest runs. To become
 * that, it must be allowed to change who it is, but never to start programs.
 */
static void add_confinement(const struct driver_qemu_host *host, char *const *raw, struct items *arguments)
{
	bool theirs = raw_qemu_has(raw, "runas");

	if (!raw_qemu_has(raw, "sandbox")) { /* a second one could only add to it */
		items_add(arguments, "-sandbox");
		items_add(arguments, "on,obsolete=deny,elevateprivileges=%s,spawn=deny,resourcecontrol=deny",
			  host->user || theirs ? "allow" : "deny");
	}
	if (host->user && !theirs)
		add(arguments, "-runas", host->user);
}

static void add_display(const struct driver_qemu_host *host, struct items *arguments)
{
	add(arguments, "-display", "none");
	add(arguments, "-vga", "std");
	add(arguments, "-device", "virtio-tablet-pci");
	add(arguments, "-device", "virtio-rng-pci");
	if (!host->spice)
		return;
	add(arguments, "-spice", "unix=on,addr=spice,disable-ticketing=on"); /* in its working directory */
	add(arguments, "-device", "virtio-serial-pci");
	add(arguments, "-chardev", "spicevmc,id=vdagent,name=vdagent");
	add(arguments, "-device", "virtserialport,chardev=vdagent,name=com.redhat.spice.0");
}

char *driver_qemu_image(const struct store_row *row, const char *directory)
{
	char *path;

	return asprintf(&path, "%s/consoles/%s/root.img", directory, row->name) < 0 ? NULL : path;
}

/* A root disk with neither source nor size is none. */
static bool has_file(const json_t *device)
{
	return strcmp(value_get(device, "type", ""), "disk") == 0 &&
	       (value_get(device, "source", NULL) || value_get(device, "size", NULL));
}

/* The file of a disk and what it is; a source's is looked at. */
static int find_file(const struct store_row *row, const json_t *device, const struct driver_qemu_host *host,
		     char **path, enum disk_format *format, bool *block, struct error *error)
{
	const char *source = value_get(device, "source", NULL);
	struct error why = {0};
	int r = 0;

	*format = DISK_RAW;
	*block = false;
	*path = source ? strdup(source) : driver_qemu_image(row, host->directory);
	if (!*path)
		return error_set(error, -ENOMEM, "out of memory");
	if (source)
		r = disk_examine(source, format, block, &why);
	if (r == 0 || host->running) /* of what is wrong then, QEMU will have a word to say */
		return 0;
	return error_set(error, r, "source: %s", error_text(&why));
}

static void add_disk(const char *name, const json_t *device, unsigned int number, const char *path,
		     enum disk_format format, bool block, struct items *arguments)
{
	bool readonly = value_true(device, "readonly");
	char node[16];
	json_t *drive, *front;

	snprintf(node, sizeof(node), "disk%u", number);
	drive = json_pack("{s:s, s:s, s:b, s:s, s:{s:s, s:s}}", "driver", format == DISK_RAW ? "raw" : "qcow2",
			  "node-name", node, "read-only", readonly, "discard", "unmap", "file", "driver",
			  block ? "host_device" : "file", "filename", path);
	if (format == DISK_QCOW2)
		json_object_set_new(drive, "backing", json_null()); /* not even if its header comes to name one */
	front = json_pack("{s:s, s:s, s:s}", "driver", "virtio-blk-pci", "drive", node, "serial", name);
	if (device_is_root(device))
		json_object_set_new(front, "bootindex", json_integer(0));
	add_json(arguments, "-blockdev", drive);
	add_json(arguments, "-device", front);
}

static int add_disks(const struct store_row *row, const struct driver_qemu_host *host, struct items *arguments,
		     struct error *error)
{
	struct error why = {0};
	unsigned int number = 0;
	const char *name;
	json_t *device;

	json_object_foreach (row->devices, name, device) {
		cleanup_free char *path = NULL;
		enum disk_format format;
		bool block;
		int r;

		if (!has_file(device))
			continue;
		r = find_file(row, device, host, &path, &format, &block, &why);
		if (r < 0)
			return error_set(error, r, "Failed to start device \"%s\": %s", name, error_text(&why));
		add_disk(name, device, number++, path, format, block, arguments);
	}
	return 0;
}

int driver_qemu_arguments(const struct store_row *row, const struct driver_qemu_host *host, struct items *arguments,
			  struct error *error)
{
	cleanup_free char **raw = NULL;
	int r = raw_qemu_split(value_get(row->config, "raw.qemu", ""), &raw, error);

	if (r < 0)
		return r;
	add_base(row, host, arguments);
	r = add_limits(row, host, arguments, error);
	if (r < 0)
		return r;
	add_confinement(host, raw, arguments);
	add_display(host, arguments);
	r = add_disks(row, host, arguments, error);
	if (r < 0)
		return r;
	for (size_t i = 0; raw[i]; i++)
		items_add(arguments, "%s", raw[i]);
	return arguments->failed ? error_set(error, -ENOMEM, "out of memory") : 0;
}
