// SPDX-License-Identifier: Apache-2.0
#include "instances/devices.h"
#include "instances/driver_lxc.h"
#include "instances/limit.h"
#include "instances/raw_lxc.h"
#include "instances/value.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENVIRONMENT_PREFIX "environment."
#define ENTRY_MAX (PATH_MAX - 64) /* of source and path; the rest is for what stands around them */

/*
 * What keeps the guest from the machine, as LXC's common.conf and userns.conf have it. A container that is not
 * privileged is kept by its user namespace: capabilities mean nothing outside, and it needs neither a device list nor
 * AppArmor's general profile, which keeps newer systemd from mounting. A privileged one has all, and liblxc's own
 * choice of profile.
 */
static void add_security(const struct driver_lxc_host *host, struct items *items)
{
	/* null, zero, full, tty, console, ptmx, random, urandom, pts, fuse; any may be made, but not opened */
	static const char *const devices[] = {
		"c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",   "c 5:0 rwm",
		"c 5:1 rwm", "c 5:2 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 136:* rwm", "c 10:229 rwm",
	};
	const char *hierarchy = host->devices == CGROUP_V1 ? "cgroup" : "cgroup2";

	if (host->seccomp)
		items_add(items, "lxc.seccomp.profile=%s", host->seccomp);
	if (host->mapped) {
		if (host->apparmor)
			items_add(items, "lxc.apparmor.profile=unconfined");
		return;
	}
	items_add(items, "lxc.cap.drop=mac_admin mac_override sys_time sys_module sys_rawio");
	if (host->devices == CGROUP_NONE)
		return;
	items_add(items, "lxc.%s.devices.deny=a", hierarchy);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		items_add(items, "lxc.%s.devices.allow=%s", hierarchy, devices[i]);
}

/* `raw` may bring a map of its own, which then stands alone. */
static void add_base(const struct store_row *row, const struct driver_lxc_host *host, const struct items *raw,
		     struct items *items)
{
	const json_t *root = devices_root(row->devices, NULL);

	items_add(items, "lxc.rootfs.path=dir:%s", value_get(root, "source", ""));
	if (value_true(root, "readonly"))
		items_add(items, "lxc.rootfs.options=ro");
	items_add(items, "lxc.uts.name=%s", row->name);
	items_add(items, "lxc.autodev=1");
	items_add(items, "lxc.tty.max=0");
	items_add(items, "lxc.pty.max=1024");
	items_add(items, "lxc.mount.auto=%s", host->mapped ? "proc:rw sys:rw" : "proc:mixed sys:mixed");
	if (host->mapped && !items_have(raw, "lxc.idmap")) {
		items_add(items, "lxc.idmap=u 0 %" PRIu32 " %d", host->idmap.uid, IDMAP_COUNT);
		items_add(items, "lxc.idmap=g 0 %" PRIu32 " %d", host->idmap.gid, IDMAP_COUNT);
	}
}

static int add_memory(const char *value, const struct driver_lxc_host *host, struct items *items, struct error *error)
{
	uint64_t bytes;

	if (host->memory == CGROUP_NONE)
		return error_set(error, -ENOTSUP, "limits.memory: this machine has no memory controller (cgroups)");
	if (limit_parse_memory(value, host->memory_total, &bytes) < 0)
		return error_set(error, -EINVAL, "limits.memory: not a size: \"%s\"", value);
	items_add(items, "lxc.%s=%" PRIu64,
		  host->memory == CGROUP_V1 ? "cgroup.memory.limit_in_bytes" : "cgroup2.memory.max", bytes);
	return 0;
}

static int add_cpus(const struct store_row *row, const char *value, const struct driver_lxc_host *host,
		    struct items *items, struct error *error)
{
	char text[LIMIT_CPUS_MAX];
	unsigned int number;
	cpu_set_t wanted, cpus;

	if (host->cpuset == CGROUP_NONE)
		return error_set(error, -ENOTSUP, "limits.cpu: this machine has no cpuset controller (cgroups)");
	if (limit_parse_cpus(value, &number, &wanted) < 0)
		return error_set(error, -EINVAL, "limits.cpu: neither a number nor a set of CPUs: \"%s\"", value);
	if (number > 0) {
		limit_pick_cpus(&host->cpus, number, row->name, &cpus);
	} else {
		CPU_AND(&cpus, &wanted, &host->cpus);
		if (!CPU_EQUAL(&cpus, &wanted)) {
			limit_format_cpus(&host->cpus, text);
			return error_set(error, -EINVAL, "limits.cpu: %s: this machine has the CPUs %s", value, text);
		}
	}
	limit_format_cpus(&cpus, text);
	items_add(items, "lxc.%s.cpuset.cpus=%s", host->cpuset == CGROUP_V1 ? "cgroup" : "cgroup2", text);
	return 0;
}

static int add_limits(const struct store_row *row, const struct driver_lxc_host *host, struct items *items,
		      struct error *error)
{
	const char *memory = value_get(row->config, "limits.memory", NULL);
	const char *cpus = value_get(row->config, "limits.cpu", NULL);
	int r = memory ? add_memory(memory, host, items, error) : 0;

	return r == 0 && cpus ? add_cpus(row, cpus, host, items, error) : r;
}

static void add_environment(const struct store_row *row, struct items *items)
{
	const char *key;
	json_t *value;

	json_object_foreach (row->config, key, value)
		if (strncmp(key, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) == 0)
			items_add(items, "lxc.environment=%s=%s", key + strlen(ENVIRONMENT_PREFIX),
				  json_string_value(value));
}

/* A path as fstab(5) has it. NULL: no memory. */
static char *escape(const char *path)
{
	char *escaped = malloc(4 * strlen(path) + 1), *at = escaped;

	for (; escaped && *path; path++) {
		if (strchr(" \t\n\\", *path))
			at += sprintf(at, "\\%03o", (unsigned int)*path);
		else
			*at++ = *path;
	}
	if (escaped)
		*at = '\0';
	return escaped;
}

/*
 * liblxc mounts nothing through a symbolic link, but follows it when it makes the place to mount at; links in the
 * rootfs are the guest's, and may lead anywhere on this machine.
 */
static bool goes_through_link(const char *rootfs, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return root >= 0 && fd < 0 && errno == ELOOP;
}

/* A disk that is not the root: a directory or file of this machine, bound into the container. */
static int add_disk(const char *rootfs, const char *name, const json_t *device, struct items *items,
		    struct error *error)
{
	const char *source = value_get(device, "source", ""), *path = value_get(device, "path", "");
	cleanup_free char *from = escape(source), *to = escape(path + strspn(path, "/"));
	struct stat status;

	if (!from || !to)
		return -ENOMEM;
	if (stat(source, &status) < 0)
		return error_set(error, -errno, "Failed to start device \"%s\": source: %s: %s", name, source,
				 strerror(errno));
	if (strlen(from) + strlen(to) > ENTRY_MAX) /* liblxc would cut it off, wherever that is */
		return error_set(error, -ENAMETOOLONG, "Failed to start device \"%s\": source and path are too long",
				 name);
	if (goes_through_link(rootfs, path + strspn(path, "/")))
		return error_set(error, -ELOOP,
				 "Failed to start device \"%s\": path: there is a symbolic link in %s of %s", name,
				 path, rootfs);
	items_add(items, "lxc.mount.entry=%s %s none bind,create=%s%s 0 0", from, to,
		  S_ISDIR(status.st_mode) ? "dir" : "file", value_true(device, "readonly") ? ",ro" : "");
	return 0;
}

static void add_nic(unsigned int number, const json_t *device, struct items *items)
{
	const char *nictype = value_get(device, "nictype", "");
	bool bridged = strcmp(nictype, "bridged") == 0, macvlan = strcmp(nictype, "macvlan") == 0;
	static const char *const optional[] = {"name", "hwaddr", "mtu"};

	items_add(items, "lxc.net.%u.type=%s", number, bridged ? "veth" : macvlan ? "macvlan" : "phys");
	items_add(items, "lxc.net.%u.link=%s", number, value_get(device, "parent", ""));
	if (macvlan)
		items_add(items, "lxc.net.%u.macvlan.mode=bridge", number);
	items_add(items, "lxc.net.%u.flags=up", number);
	for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
		const char *value = value_get(device, optional[i], NULL);

		if (value)
			items_add(items, "lxc.net.%u.%s=%s", number, optional[i], value);
	}
}

static int add_devices(const struct store_row *row, struct items *items, struct error *error)
{
	unsigned int nics = 0;
	const char *name;
	json_t *device;
	int r = 0;

	json_object_foreach (row->devices, name, device) {
		const char *type = value_get(device, "type", "");

		if (strcmp(type, "nic") == 0)
			add_nic(nics++, device, items);
		else if (strcmp(type, "disk") == 0 && !device_is_root(device))
			r = add_disk(devices_rootfs(row->devices), name, device, items, error);
		if (r < 0)
			break;
	}
	return r;
}

/* What raw.lxc may not say (raw_lxc.c) an included file may not say either; it is not read here, but gone over. */
static void add_ours_again(const struct store_row *row, struct items *items)
{
	static const char *const ours[] = {
		"lxc.ephemeral=0",
		"lxc.cgroup.relative=0",
		"lxc.cgroup.dir=",
		"lxc.cgroup.dir.monitor=",
		"lxc.cgroup.dir.monitor.pivot=",
		"lxc.cgroup.dir.container=",
		"lxc.cgroup.dir.container.inner=",
		"lxc.console.logfile=",
		"lxc.console.rotate=0",
		"lxc.console.size=0",
		"lxc.console.buffer.size=0",
		"lxc.log.syslog=",
	};

	items_add(items, "lxc.rootfs.path=dir:%s", devices_rootfs(row->devices));
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		items_add(items, "%s", ours[i]);
}

int driver_lxc_items(const struct store_row *row, const struct driver_lxc_host *host, struct items *items,
		     struct error *error)
{
	__attribute__((cleanup(items_finish))) struct items raw = {0};
	int r = raw_lxc_parse(value_get(row->config, "raw.lxc", ""), &raw, error);

	if (r < 0)
		return r;
	add_base(row, host, &raw, items);
	add_security(host, items);
	r = add_limits(row, host, items, error);
	if (r < 0)
		return r;
	add_environment(row, items);
	r = add_devices(row, items, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < raw.count; i++)
		items_add(items, "%s", raw.list[i]);
	if (items_have(&raw, "lxc.include"))
		add_ours_again(row, items);
	return items->failed ? -ENOMEM : 0;
}
