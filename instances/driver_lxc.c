// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_lxc.h"
#include "instances/devices.h"
#include "instances/driver.h"
#include "instances/lxcpath.h"
#include "instances/raw_lxc.h"
#include "instances/value.h"
#include "pty/targets/cgroup.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static bool lxc_serves(const struct store_row *row)
{
	if (row->lxcpath)
		return true;
	return row->type == INSTANCE_CONTAINER && devices_rootfs(row->devices) &&
	       !value_get(row->config, "process.command", NULL);
}

/* What a device needs in order to be something to a container. */
static int check_device(const char *name, const json_t *device, struct error *error)
{
	static const struct {
		const char *type, *key;
	} needed[] = {{"disk", "path"}, {"disk", "source"}, {"nic", "nictype"}, {"nic", "parent"}};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (strcmp(value_get(device, "type", ""), needed[i].type) == 0 &&
		    !value_get(device, needed[i].key, NULL))
			return error_set(error, -EINVAL,
					 "Device validation failed for \"%s\": a container's %s needs %s", name,
					 needed[i].type, needed[i].key);
	return 0;
}

static int lxc_check(const struct store_row *row, struct error *error)
{
	static const char *const programs[] = {"process.directory", "process.restart", "process.user"};
	const char *name;
	json_t *device;
	int r = 0;

	if (row->lxcpath)
		return 0;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (value_get(row->config, programs[i], NULL))
			return error_set(error, -EINVAL, "%s: only for programs (process.command)", programs[i]);
	json_object_foreach (row->devices, name, device) {
		r = check_device(name, device, error);
		if (r < 0)
			break;
	}
	return r;
}

/* The kernel itself is asked: modes and ACLs all count. */
int driver_lxc_reach(const char *path, const struct driver_lxc_host *host)
{
	int dumpable = prctl(PR_GET_DUMPABLE); /* goes with a change of ids */
	int gid = setfsgid(host->mapped ? host->idmap.gid : getegid());
	int uid = setfsuid(host->mapped ? host->idmap.uid : geteuid());
	cleanup_free char *inside = NULL;
	cleanup_close int fd = -1;
	int r = -ENOMEM;

	if (asprintf(&inside, "%s/.", path) >= 0) {
		fd = open(inside, O_PATH | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	setfsuid((uid_t)uid);
	setfsgid((gid_t)gid);
	prctl(PR_SET_DUMPABLE, dumpable);
	return r;
}

/* Whether raw.lxc has this key. */
static bool raw_has(const struct store_row *row, const char *key)
{
	__attribute__((cleanup(items_finish))) struct items raw = {0};

	return raw_lxc_parse(value_get(row->config, "raw.lxc", ""), &raw, NULL) == 0 && items_have(&raw, key);
}

static int check_owner(const char *source, uid_t owner, const struct driver_lxc_host *host, struct error *error)
{
	uid_t root = host->mapped ? host->idmap.uid : 0;
	int r;

	if (owner != root && host->mapped)
		return error_set(
			error, -EINVAL,
			"source: %s belongs to uid %u, and the container's root is uid %u: chown -R it, or set "
			"security.privileged=true",
			source, owner, root);
	if (owner != root)
		return error_set(
			error, -EINVAL,
			"source: %s belongs to uid %u, and a privileged container's root is uid 0: chown -R it, "
			"or set security.privileged=false",
			source, owner);
	r = driver_lxc_reach(source, host);
	if (r == -EACCES)
		return error_set(error, r,
				 "source: the container's root, uid %u, cannot get to %s: chmod o+x the "
				 "directories above it, or set security.privileged=true",
				 root, source);
	return r < 0 ? error_set(error, r, "source: %s: %s", source, strerror(-r)) : 0;
}

int driver_lxc_check_rootfs(const struct store_row *row, const struct driver_lxc_host *host, struct error *error)
{
	const char *source = devices_rootfs(row->devices), *name = "";
	struct error why = {0};
	struct stat status;
	int r = 0;

	devices_root(row->devices, &name);
	if (stat(source, &status) < 0)
		r = error_set(&why, -errno, "source: %s: %s", source, strerror(errno));
	else if (!S_ISDIR(status.st_mode))
		r = error_set(&why, -ENOTDIR, "source: %s is not a directory", source);
	else if (!raw_has(row, "lxc.idmap") && !raw_has(row, "lxc.rootfs.options")) /* idmap=container, say */
		r = check_owner(source, status.st_uid, host, &why);
	return r < 0 ? error_set(error, r, "Failed to start device \"%s\": %s", name, error_text(&why)) : 0;
}

/* Where liblxc takes our containers to be: nothing is in there, but root in the container must be able to pass. */
static int make_lxcpath(const char *path, const struct driver_lxc_host *host, struct error *error)
{
	int r;

	if ((mkdir(path, 0711) < 0 && errno != EEXIST) || chmod(path, 0711) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	r = driver_lxc_reach(path, host);
	if (r == -EACCES)
		return error_set(error, r,
				 "The container's root, uid %u, cannot get to %s: chmod o+x the directories "
				 "above it, or set security.privileged=true",
				 host->idmap.uid, path);
	return r < 0 ? error_set(error, r, "%s: %s", path, strerror(-r)) : 0;
}

/*
 * liblxc's own words for an interface that is not there name neither it nor the device. A physical one is the
 * container's own as long as that runs (`again`).
 */
static int check_parents(const struct store_row *row, bool again, struct error *error)
{
	const char *name;
	json_t *device;

	json_object_foreach (row->devices, name, device) {
		const char *parent = value_get(device, "parent", NULL);
		bool taken = again && strcmp(value_get(device, "nictype", ""), "physical") == 0;

		if (parent && !taken && if_nametoindex(parent) == 0)
			return error_set(error, -ENODEV,
					 "Failed to start device \"%s\": parent: this machine has no interface %s",
					 name, parent);
	}
	return 0;
}

static int compose(const struct store_row *row, const char *path, bool again, struct items *items, struct error *error)
{
	struct driver_lxc_host host;
	int r = driver_lxc_host_read(&host);

	if (r < 0)
		return error_set(error, r, "What this machine has cannot be looked up: %s", strerror(-r));
	host.mapped = !value_true(row->config, "security.privileged");
	if (host.mapped && !raw_has(row, "lxc.idmap"))
		r = idmap_read(&host.idmap, error);
	if (r == 0)
		r = driver_lxc_check_rootfs(row, &host, error);
	if (r == 0)
		r = check_parents(row, again, error);
	if (r == 0)
		r = make_lxcpath(path, &host, error);
	return r == 0 ? driver_lxc_items(row, &host, items, error) : r;
}

/* One that runs is taken on, whatever has become of its config. */
static int compose_unless_running(const struct store_row *row, const char *path, const struct driver_context *context,
				  struct items *items, struct error *error)
{
	struct error why = {0};
	int r = compose(row, path, context->again, items, context->running ? &why : error);

	if (r < 0 && context->running) {
		log_warn("%s: cannot be started again as it is: %s", row->name, error_text(&why));
		items_finish(items);
		return 0;
	}
	return r;
}

static int lxc_prepare(const struct store_row *row, const struct driver_context *context, struct console_target *target,
		       struct error *error)
{
	__attribute__((cleanup(items_finish))) struct items items = {0};
	char path[PATH_MAX], log[PATH_MAX];
	int r;

	if (geteuid() != 0)
		return error_set(error, -EPERM, "Containers need a daemon that runs as root");
	snprintf(path, sizeof(path), "%s/lxc", context->directory);
	snprintf(log, sizeof(log), "%s/consoles/%s/lxc.log", context->directory, row->name);
	if (row->lxcpath)
		r = lxcpath_check_owner(row->lxcpath, row->name, error);
	else
		r = compose_unless_running(row, path, context, &items, error);
	if (r < 0)
		return r;
	return pack_container(
		&(struct console_container){
			.name = row->name,
			.path = row->lxcpath ? row->lxcpath : path,
			.defined = row->lxcpath != NULL,
			.running = context->running,
			.items = items.list ? items.list : (char *[]){NULL},
			.log = log,
		},
		target, error);
}

static bool lxc_runs(const struct store_row *row, const char *directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/lxc", directory);
	return lxcpath_running(path, row->name);
}

/* A container whose monitor died while there was no keeper has left its cgroups. */
static void lxc_forget(const struct store_row *row)
{
	cgroups_remove_of(row->name);
}

const struct driver driver_lxc = {
	.name = "lxc",
	.serves = lxc_serves,
	.check = lxc_check,
	.prepare = lxc_prepare,
	.runs = lxc_runs,
	.forget = lxc_forget,
};
