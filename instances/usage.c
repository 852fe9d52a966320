// SPDX-License-Identifier: Apache-2.0
#include "instances/usage.h"

#include "instances/cgroup.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 1024

/* The processes still to be looked at; those before `next` have been. */
struct walk {
	pid_t pids[PROCESSES_MAX];
	unsigned int count, next;
};

static void add_memory(pid_t pid, struct usage *usage, int64_t *peak)
{
	char path[40], line[256];
	long long kilobytes;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmRSS: %lld", &kilobytes) == 1)
			usage->memory += kilobytes * 1024;
		else if (sscanf(line, "VmSwap: %lld", &kilobytes) == 1)
			usage->swap += kilobytes * 1024;
		else if (sscanf(line, "VmHWM: %lld", &kilobytes) == 1)
			*peak = kilobytes * 1024;
	}
	fclose(file);
}

static void add_cpu(pid_t pid, struct usage *usage)
{
	unsigned long user, system;
	char path[40], line[512], *rest;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return;
	/* The name in parentheses may hold anything, newlines too; utime and stime are fields 14 and 15. */
	line[fread(line, 1, sizeof(line) - 1, file)] = '\0';
	rest = strrchr(line, ')');
	if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2) {
		usage->cpu += (int64_t)(user + system) * (INT64_C(1000000000) / sysconf(_SC_CLK_TCK));
		usage->processes++;
	}
	fclose(file);
}

static void add_children(pid_t pid, const char *task, struct walk *walk)
{
	char path[64];
	FILE *file;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", (int)pid, task);
	file = fopen(path, "re");
	if (!file)
		return;
	while (walk->count < PROCESSES_MAX && fscanf(file, "%d", &child) == 1)
		walk->pids[walk->count++] = child;
	fclose(file);
}

static void add_descendants(pid_t pid, struct walk *walk)
{
	struct dirent *entry;
	char path[40];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return;
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			add_children(pid, entry->d_name, walk);
	closedir(tasks);
}

void usage_of(pid_t pid, struct usage *usage)
{
	struct walk walk = {.pids = {pid}, .count = 1};
	int64_t peak = 0;

	*usage = (struct usage){0};
	while (walk.next < walk.count) {
		pid_t at = walk.pids[walk.next++];

		add_memory(at, usage, &peak);
		add_cpu(at, usage);
		add_descendants(at, &walk);
		if (walk.next == 1)
			usage->memory_peak = peak;
	}
}

/* Without the groups: as much as processes tell. */
static void fill_gaps(pid_t pid, struct usage *usage)
{
	struct usage walked;

	usage_of(pid, &walked);
	if (usage->memory < 0) {
		usage->memory = walked.memory;
		usage->memory_peak = walked.memory_peak;
		usage->swap = walked.swap;
	}
	if (usage->cpu < 0)
		usage->cpu = walked.cpu;
	if (usage->processes < 0)
		usage->processes = walked.processes;
}

void usage_of_container(pid_t pid, struct usage *usage)
{
	cleanup_close int root = open(CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int process = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cgroup_usage(process, root, usage);
	if (usage->memory < 0 || usage->cpu < 0 || usage->processes < 0)
		fill_gaps(pid, usage);
}
