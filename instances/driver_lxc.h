// SPDX-License-Identifier: Apache-2.0
/* Inside driver_lxc: a container's config as liblxc's items, made from the instance's and from what the machine has. */
#pragma once

#include "instances/idmap.h"
#include "instances/items.h"
#include "instances/store.h"
#include "util/error.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/* Where a controller of cgroups(7) is to be had. */
enum cgroup {
	CGROUP_NONE,
	CGROUP_V1,
	CGROUP_V2,
};

/* What the items depend on besides the instance. */
struct driver_lxc_host {
	enum cgroup memory, cpuset, devices;
	uint64_t memory_total;
	cpu_set_t cpus;      /* online */
	bool apparmor;       /* the kernel has it */
	const char *seccomp; /* LXC's list of system calls to refuse, NULL: not installed */
	bool mapped;         /* the container is not privileged; the caller's to set, */
	struct idmap idmap;  /* and this too, unless raw.lxc has a map of its own */
};

/* Learns it, but for the ids. What is not there is none; without memory or descriptors to look: -errno. */
int driver_lxc_host_read(struct driver_lxc_host *host);

/* Adds all items, raw.lxc's last. Looks at the sources of disks, which must exist. -errno naming the key or device. */
int driver_lxc_items(const struct store_row *row, const struct driver_lxc_host *host, struct items *items,
		     struct error *error);

/*
 * Checks that the directory of the root disk is there, and that the container's root owns it and can get to it.
 * -EINVAL, -ENOENT ... naming the device and the ways out.
 */
int driver_lxc_check_rootfs(const struct store_row *row, const struct driver_lxc_host *host, struct error *error);

/* -EACCES if the container's root cannot get to `path`, a directory: liblxc goes there with the ids it has outside. */
int driver_lxc_reach(const char *path, const struct driver_lxc_host *host);
