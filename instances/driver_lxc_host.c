// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_lxc.h"
#include "instances/limit.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define SECCOMP_PROFILE "/usr/share/lxc/config/common.seccomp"

/* Reads a file of one short line; empty when there is none, or it may not be read. */
static int read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	*line = '\0';
	if (!file)
		return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? -errno : 0;
	if (!fgets(line, (int)size, file))
		*line = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
	return 0;
}

/* Notes the controllers of a mounted unified hierarchy: those that no older one has. */
static int read_unified(struct driver_lxc_host *host, const char *mount_point)
{
	char path[4096], line[1024];
	int r;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", mount_point);
	r = read_line(path, line, sizeof(line));
	for (char *rest = line, *word; (word = strsep(&rest, " "));) {
		if (strcmp(word, "memory") == 0)
			host->memory = CGROUP_V2;
		else if (strcmp(word, "cpuset") == 0)
			host->cpuset = CGROUP_V2;
	}
	return r;
}

/* A controller is in one hierarchy at most, be it an older one or the unified one: cgroups(7). */
static int read_cgroups(struct driver_lxc_host *host)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool unified = false, older = false;
	struct mntent mount;
	char space[8192];
	int r = 0;

	if (!mounts)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && getmntent_r(mounts, &mount, space, sizeof(space))) {
		if (strcmp(mount.mnt_type, "cgroup2") == 0) {
			unified = true;
			r = read_unified(host, mount.mnt_dir);
		} else if (strcmp(mount.mnt_type, "cgroup") == 0) {
			older = true;
			if (hasmntopt(&mount, "memory"))
				host->memory = CGROUP_V1;
			if (hasmntopt(&mount, "cpuset"))
				host->cpuset = CGROUP_V1;
			if (hasmntopt(&mount, "devices"))
				host->devices = CGROUP_V1;
		}
	}
	endmntent(mounts);
	if (unified && !older) /* there it is no controller, but a program of BPF that liblxc loads */
		host->devices = CGROUP_V2;
	return r;
}

static int read_cpus(cpu_set_t *cpus)
{
	char line[1024];
	unsigned int number;
	int r = read_line("/sys/devices/system/cpu/online", line, sizeof(line));

	if (limit_parse_cpus(line, &number, cpus) < 0 || number > 0) { /* "0": a machine with one */
		CPU_ZERO(cpus);
		CPU_SET(0, cpus);
	}
	return r;
}

int driver_lxc_host_read(struct driver_lxc_host *host)
{
	struct sysinfo info;
	char line[8];
	int r;

	*host = (struct driver_lxc_host){0};
	r = read_cgroups(host);
	if (r == 0)
		r = read_cpus(&host->cpus);
	if (r == 0)
		r = read_line("/sys/module/apparmor/parameters/enabled", line, sizeof(line));
	if (r < 0)
		return r;
	if (sysinfo(&info) == 0)
		host->memory_total = (uint64_t)info.totalram * info.mem_unit;
	host->apparmor = strcmp(line, "Y") == 0;
	host->seccomp = access(SECCOMP_PROFILE, R_OK) == 0 ? SECCOMP_PROFILE : NULL;
	return 0;
}
