// SPDX-License-Identifier: Apache-2.0
#include "instances/cgroup.h"

#include "instances/usage.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD "/lxc.payload."

enum group {
	GROUP_MEMORY,
	GROUP_CPU,
	GROUP_PROCESSES,
	GROUP_FREEZER,
	GROUPS,
};

/* Version 1's names. Version 2 has all in one hierarchy. */
static const char *const controllers[GROUPS] = {"memory", "cpuacct", "pids", "freezer"};

/* Of /proc/PID/cgroup: the paths of init's groups. */
struct groups {
	const char *paths[GROUPS];
	const char *unified;
};

static bool read_text(int directory, const char *file, char *text, size_t size)
{
	cleanup_close int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

/* What `text` begins with, up to the end of the line; -1: no number. */
static int64_t parse_number(const char *text)
{
	long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	number = strtoll(text, &end, 10);
	return errno == 0 && (*end == '\n' || *end == '\0') ? number : -1;
}

static int64_t read_number(int group, const char *file)
{
	char text[32];

	return read_text(group, file, text, sizeof(text)) ? parse_number(text) : -1;
}

/* Lines are `NUMBER:CONTROLLER,CONTROLLER:PATH`; that of version 2 names no controllers. */
static void find_groups(char *listing, struct groups *groups)
{
	char *line, *list, *name;

	while ((line = strsep(&listing, "\n"))) {
		strsep(&line, ":");
		list = strsep(&line, ":");
		if (!line)
			continue;
		if (*list == '\0')
			groups->unified = line;
		while ((name = strsep(&list, ",")))
			for (unsigned int i = 0; i < GROUPS; i++)
				if (strcmp(name, controllers[i]) == 0)
					groups->paths[i] = line;
	}
}

/*
 * Opens the container's own group, which is the one that liblxc made: init may have moved on to one inside it (as
 * systemd does). A path that begins with `/..` is outside our own namespace, and not to be seen from here.
 */
static int open_payload(int root, const char *hierarchy, const char *path)
{
	const char *payload = strncmp(path, "/../", 4) == 0 ? NULL : strstr(path, PAYLOAD);
	char place[PATH_MAX];
	int length, n;

	if (!payload)
		return -1;
	length = (int)(payload - path + 1 + (ptrdiff_t)strcspn(payload + 1, "/"));
	n = snprintf(place, sizeof(place), "%s%.*s", hierarchy, length, path);
	return n < (int)sizeof(place) ? openat(root, place, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

static int open_group(int root, const struct groups *groups, enum group which)
{
	int fd;

	if (groups->paths[which])
		return open_payload(root, controllers[which], groups->paths[which]);
	if (!groups->unified)
		return -1;
	fd = open_payload(root, ".", groups->unified);
	return fd < 0 ? open_payload(root, "unified", groups->unified) : fd;
}

/* What both together count, less the one. */
static int64_t swap_of(int64_t both, int64_t memory)
{
	return both > memory && memory >= 0 ? both - memory : 0;
}

static void count_memory(int group, struct usage *usage)
{
	usage->memory = read_number(group, "memory.current");
	if (usage->memory >= 0) {
		usage->memory_peak = read_number(group, "memory.peak");
		usage->swap = read_number(group, "memory.swap.current");
		usage->swap_peak = read_number(group, "memory.swap.peak");
	} else {
		usage->memory = read_number(group, "memory.usage_in_bytes");
		usage->memory_peak = read_number(group, "memory.max_usage_in_bytes");
		usage->swap = swap_of(read_number(group, "memory.memsw.usage_in_bytes"), usage->memory);
		usage->swap_peak = swap_of(read_number(group, "memory.memsw.max_usage_in_bytes"), usage->memory_peak);
	}
}

static int64_t count_cpu(int group)
{
	int64_t usage = read_number(group, "cpuacct.usage");
	char text[512], *line;

	if (usage >= 0)
		return usage;
	if (!read_text(group, "cpu.stat", text, sizeof(text)) || !(line = strstr(text, "usage_usec ")))
		return -1;
	usage = parse_number(line + strlen("usage_usec "));
	return usage < 0 || usage > INT64_MAX / 1000 ? -1 : usage * 1000;
}

void cgroup_usage(int process, int root, struct usage *usage)
{
	cleanup_close int memory = -1, cpu = -1, processes = -1;
	struct groups groups = {.unified = NULL};
	char listing[16384];

	*usage = (struct usage){.memory = -1, .cpu = -1, .processes = -1};
	if (!read_text(process, "cgroup", listing, sizeof(listing)))
		return;
	find_groups(listing, &groups);
	memory = open_group(root, &groups, GROUP_MEMORY);
	cpu = open_group(root, &groups, GROUP_CPU);
	processes = open_group(root, &groups, GROUP_PROCESSES);
	if (memory >= 0)
		count_memory(memory, usage);
	if (cpu >= 0)
		usage->cpu = count_cpu(cpu);
	if (processes >= 0)
		usage->processes = read_number(processes, "pids.current");
	usage->memory_peak = usage->memory_peak < 0 ? 0 : usage->memory_peak;
	usage->swap = usage->swap < 0 ? 0 : usage->swap;
	usage->swap_peak = usage->swap_peak < 0 ? 0 : usage->swap_peak;
}

int cgroup_frozen(int process, int root)
{
	struct groups groups = {.unified = NULL};
	cleanup_close int freezer = -1;
	char listing[16384], state[256];

	if (!read_text(process, "cgroup", listing, sizeof(listing)))
		return -1;
	find_groups(listing, &groups);
	freezer = open_group(root, &groups, GROUP_FREEZER);
	if (freezer < 0)
		return -1;
	if (read_text(freezer, "freezer.state", state, sizeof(state)))
		return strcmp(state, "FROZEN\n") == 0 ? 1 : strcmp(state, "THAWED\n") == 0 ? 0 : -1;
	if (!read_text(freezer, "cgroup.events", state, sizeof(state)))
		return -1;
	return strstr(state, "frozen 1\n") ? 1 : strstr(state, "frozen 0\n") ? 0 : -1;
}
