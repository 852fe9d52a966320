// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_lxc.h"
#include "instances/limit.h"

#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define SECCOMP_PROFILE "/usr/share/lxc/config/common.seccomp"

/* Reads a file of one short line; empty when there is none. */
static void read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	*line = '\0';
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		*line = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

/* Notes the controllers of a mounted unified hierarchy: those that no older one has. */
static void read_unified(struct driver_lxc_host *host, const char *mount_point)
{
	char path[4096], line[1024];

	snprintf(path, sizeof(path), "%s/cgroup.controllers", mount_point);
	read_line(path, line, sizeof(line));
	for (char *rest = line, *word; (word = strsep(&rest, " "));) {
		if (strcmp(word, "memory") == 0)
			host->memory = CGROUP_V2;
		else if (strcmp(word, "cpuset") == 0)
			host->cpuset = CGROUP_V2;
	}
}

/* A controller is in one hierarchy at most, be it an older one or the unified one: cgroups(7). */
static void read_cgroups(struct driver_lxc_host *host)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool unified = false, older = false;
	const struct mntent *mount;

	while (mounts && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2") == 0) {
			unified = true;
			read_unified(host, mount->mnt_dir);
		} else if (strcmp(mount->mnt_type, "cgroup") == 0) {
			older = true;
			if (hasmntopt(mount, "memory"))
				host->memory = CGROUP_V1;
			if (hasmntopt(mount, "cpuset"))
				host->cpuset = CGROUP_V1;
			if (hasmntopt(mount, "devices"))
				host->devices = CGROUP_V1;
		}
	}
	if (mounts)
		endmntent(mounts);
	if (unified && !older) /* there it is no controller, but a program of BPF that liblxc loads */
		host->devices = CGROUP_V2;
}

static void read_cpus(cpu_set_t *cpus)
{
	char line[1024];
	unsigned int number;

	read_line("/sys/devices/system/cpu/online", line, sizeof(line));
	if (limit_parse_cpus(line, &number, cpus) < 0 || number > 0) { /* "0": a machine with one */
		CPU_ZERO(cpus);
		CPU_SET(0, cpus);
	}
}

void driver_lxc_host_read(struct driver_lxc_host *host)
{
	struct sysinfo info;
	char line[8];

	*host = (struct driver_lxc_host){0};
	read_cgroups(host);
	read_cpus(&host->cpus);
	if (sysinfo(&info) == 0)
		host->memory_total = (uint64_t)info.totalram * info.mem_unit;
	read_line("/sys/module/apparmor/parameters/enabled", line, sizeof(line));
	host->apparmor = strcmp(line, "Y") == 0;
	host->seccomp = access(SECCOMP_PROFILE, R_OK) == 0 ? SECCOMP_PROFILE : NULL;
}
