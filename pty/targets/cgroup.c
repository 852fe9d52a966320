// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/cgroup.h"
#include "util/buffer.h"
#include "util/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 16 /* of what a container makes below its own cgroup */
#define TEXT_MAX (4 * 1024 * 1024)

static const char *const prefixes[] = {"lxc.monitor.", "lxc.payload."};

/* --- /proc --- */

/* Reads a file of /proc as a string, to be freed by the caller; NULL: it cannot be read. */
static char *read_text(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buffer buffer = {0};
	char part[4096];
	ssize_t length;

	if (fd < 0)
		return NULL;
	while ((length = read(fd, part, sizeof(part))) > 0)
		if (buffer_append(&buffer, part, (size_t)length, TEXT_MAX) < 0)
			break;
	if (length != 0 || buffer_append(&buffer, "", 1, TEXT_MAX) < 0) {
		buffer_finish(&buffer);
		return NULL;
	}
	return buffer.data;
}

/* Takes the next line of `*at`, which it terminates. */
static char *next_line(char **at)
{
	char *line = *at;

	if (!line || !*line)
		return NULL;
	*at = line + strcspn(line, "\n");
	if (**at)
		*(*at)++ = '\0';
	return line;
}

static bool has_word(const char *list, const char *word, size_t length)
{
	for (; *list; list += strspn(list, ",")) {
		size_t span = strcspn(list, ",");

		if (span == length && strncmp(list, word, length) == 0)
			return true;
		list += span;
	}
	return false;
}

/* A mounted hierarchy: a line of mountinfo. */
struct hierarchy {
	char root[PATH_MAX], point[PATH_MAX]; /* the cgroup that is mounted, and where */
	char type[16], options[256];
};

/* Whether the line is a hierarchy's. */
static bool parse_mount(const char *line, struct hierarchy *hierarchy)
{
	const char *rest = strstr(line, " - ");

	return rest && sscanf(rest, " - %15s %*s %255s", hierarchy->type, hierarchy->options) == 2 &&
	       strncmp(hierarchy->type, "cgroup", strlen("cgroup")) == 0 &&
	       sscanf(line, "%*s %*s %*s %4095s %4095s", hierarchy->root, hierarchy->point) == 2;
}

/* Looks for the hierarchy of these controllers: "cpu,cpuacct", "name=systemd", or "" for v2. */
static bool find_hierarchy(const char *mounts, const char *controllers, struct hierarchy *hierarchy)
{
	cleanup_free char *copy = strdup(mounts);
	char *at = copy, *line;

	while ((line = next_line(&at))) {
		if (!parse_mount(line, hierarchy))
			continue;
		if (strcmp(hierarchy->type, "cgroup2") == 0
			    ? !*controllers
			    : *controllers && has_word(hierarchy->options, controllers, strcspn(controllers, ",")))
			return true;
	}
	return false;
}

/* Where the part of the last component that liblxc made ends; NULL: there is none. */
static char *end_of_ours(char *path)
{
	char *found = NULL;

	for (char *at = strchr(path, '/'); at; at = strchr(at + 1, '/'))
		for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
			if (strncmp(at + 1, prefixes[i], strlen(prefixes[i])) == 0)
				found = at + 1;
	return found ? found + strcspn(found, "/") : NULL;
}

/*
 * The directory of a line of /proc/PID/cgroup ("4:memory:/lxc.payload.c1/init.scope"), up to the component that liblxc
 * made: `*ours`, whether there is one. Into `path`; false: that hierarchy is not mounted here.
 */
static bool find_directory(const char *mounts, char *line, char path[static PATH_MAX], bool *ours)
{
	char *controllers = strchr(line, ':'), *cgroup, *end;
	struct hierarchy hierarchy;
	size_t root;

	cgroup = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!cgroup)
		return false;
	*cgroup++ = '\0';
	if (!find_hierarchy(mounts, controllers + 1, &hierarchy))
		return false;
	root = strcmp(hierarchy.root, "/") == 0 ? 0 : strlen(hierarchy.root);
	if (strncmp(cgroup, hierarchy.root, root) != 0)
		return false;
	end = end_of_ours(cgroup);
	*ours = end != NULL;
	if (end)
		*end = '\0';
	return snprintf(path, PATH_MAX, "%s%s", hierarchy.point, cgroup + root) < PATH_MAX;
}

/* Calls `each` for the directory of each hierarchy that the process is in. */
static int for_each_directory(pid_t pid, int (*each)(const char *path, bool ours, void *user), void *user)
{
	cleanup_free char *mounts = read_text("/proc/self/mountinfo");
	cleanup_free char *text = NULL;
	char path[PATH_MAX], *line, *at;
	bool ours;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	text = read_text(path);
	if (!mounts || !text)
		return -ESRCH;
	at = text;
	while (r == 0 && (line = next_line(&at)))
		if (find_directory(mounts, line, path, &ours))
			r = each(path, ours, user);
	return r;
}

/* --- notes --- */

static bool has_path(const struct cgroups *cgroups, const char *path)
{
	for (size_t i = 0; i < cgroups->count; i++)
		if (strcmp(cgroups->paths[i], path) == 0)
			return true;
	return false;
}

static int note(const char *path, bool ours, void *user)
{
	struct cgroups *cgroups = user;
	char **paths;

	if (!ours || has_path(cgroups, path))
		return 0;
	paths = reallocarray(cgroups->paths, cgroups->count + 1, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	cgroups->paths = paths;
	paths[cgroups->count] = strdup(path);
	if (!paths[cgroups->count])
		return -ENOMEM;
	cgroups->count++;
	return 0;
}

int cgroups_note(struct cgroups *cgroups, pid_t pid)
{
	return for_each_directory(pid, note, cgroups);
}

void cgroups_finish(struct cgroups *cgroups)
{
	for (size_t i = 0; i < cgroups->count; i++)
		free(cgroups->paths[i]);
	free(cgroups->paths);
	*cgroups = (struct cgroups){0};
}

/* --- removal --- */

/* Removes what is below a directory (closes it). Its files are the kernel's, and go with their directory. */
// NOLINTNEXTLINE(misc-no-recursion): `depth` ends it
static void empty(int directory, int depth)
{
	DIR *stream = fdopendir(directory);
	struct dirent *entry;

	if (!stream) {
		close(directory);
		return;
	}
	while ((entry = readdir(stream))) {
		int below;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		below = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0 && depth > 0)
			empty(below, depth - 1);
		else if (below >= 0)
			close(below);
		unlinkat(directory, entry->d_name, AT_REMOVEDIR);
	}
	closedir(stream);
}

/* 0, or -errno of the rmdir(2); -EBUSY: somebody is in it. */
static int remove_tree(const char *path)
{
	int directory;

	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory >= 0)
		empty(directory, DEPTH_MAX);
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Another monitor that is about to use it at this moment merely leaves its own cgroup behind. */
static void remove_pivot(const char *path)
{
	char pivot[PATH_MAX];
	int length = (int)(strrchr(path, '/') - path);

	if (snprintf(pivot, sizeof(pivot), "%.*s/lxc.pivot", length, path) < (int)sizeof(pivot))
		rmdir(pivot);
}

int cgroups_remove(const struct cgroups *cgroups)
{
	int busy = 0;

	for (size_t i = 0; i < cgroups->count; i++) {
		if (remove_tree(cgroups->paths[i]) == -EBUSY)
			busy++;
		remove_pivot(cgroups->paths[i]);
	}
	return busy;
}

/* Whether a directory's name is one that liblxc would give to the container's cgroups: PREFIX NAME [-NUMBER] */
static bool is_of(const char *directory, const char *name)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t length = strlen(prefixes[i]);
		const char *rest = directory + length + strlen(name);

		if (strncmp(directory, prefixes[i], length) != 0 ||
		    strncmp(directory + length, name, strlen(name)) != 0)
			continue;
		if (*rest == '\0' || (*rest == '-' && rest[1 + strspn(rest + 1, "0123456789")] == '\0'))
			return true;
	}
	return false;
}

static void remove_of(const char *point, const char *name)
{
	DIR *stream = opendir(point);
	char path[PATH_MAX];
	struct dirent *entry;

	if (!stream)
		return;
	while ((entry = readdir(stream)))
		if (is_of(entry->d_name, name) &&
		    snprintf(path, sizeof(path), "%s/%s", point, entry->d_name) < (int)sizeof(path)) {
			remove_tree(path);
			remove_pivot(path);
		}
	closedir(stream);
}

void cgroups_remove_of(const char *name)
{
	cleanup_free char *mounts = read_text("/proc/self/mountinfo");
	char *at = mounts, *line;
	struct hierarchy hierarchy;

	while ((line = next_line(&at)))
		if (parse_mount(line, &hierarchy))
			remove_of(hierarchy.point, name);
}

/* --- the freezer --- */

static void write_file(const char *directory, const char *name, const char *value)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		(void)errno; /* then it is not frozen, or stays so: its users see which */
	close(fd);
}

static int thaw(const char *path, bool ours, void *user)
{
	write_file(path, "freezer.state", "THAWED"); /* v1: only in the freezer's hierarchy is there such a file */
	write_file(path, "cgroup.freeze", "0");      /* v2 */
	return 0;
}

void cgroups_thaw(pid_t pid)
{
	for_each_directory(pid, thaw, NULL);
}
