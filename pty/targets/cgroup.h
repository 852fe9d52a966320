// SPDX-License-Identifier: Apache-2.0
/*
 * What a container leaves in the cgroup file systems (cgroups(7), v1 and v2). liblxc puts the monitor into
 * lxc.monitor.NAME and the container into lxc.payload.NAME of each hierarchy (with -1, -2.. behind it where that
 * exists) and does not always get rid of them. Blocks no longer than the kernel needs.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* The directories of one container, in all hierarchies. Zeroed: none. */
struct cgroups {
	char **paths;
	size_t count;
};

/* Adds those that liblxc has made for the process. -errno; what was found until then is kept. */
int cgroups_note(struct cgroups *cgroups, pid_t pid);

/*
 * Removes them with all below, and the lxc.pivot beside them (which liblxc makes for the monitor's last moments), as
 * far as nobody is in them. Returns how many are still there because somebody is. A process that has just ended may
 * count as one for some ms more.
 */
int cgroups_remove(const struct cgroups *cgroups);

/* Removes those that have the name of the container `name` and nobody in them: of a start that has failed. */
void cgroups_remove_of(const char *name);

void cgroups_finish(struct cgroups *cgroups);

/* Lets the container whose init is `pid` go on, should it be frozen: a frozen one takes no signal. */
void cgroups_thaw(pid_t pid);
