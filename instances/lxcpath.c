// SPDX-License-Identifier: Apache-2.0
#include "instances/lxcpath.h"

#include "instances/idmap.h"
#include "pty/targets/command.h"
#include "pty/watch.h"
#include "util/cleanup.h"
#include "util/identity.h"
#include "util/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define MONITOR "lxc.monitor."
#define DEFINITIONS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define CONFIG_TO_COME (IN_CREATE | IN_MOVED_TO | IN_ONESHOT | IN_ONLYDIR)

/* The roots of a hierarchy: cgroup v1 with a v2 beside it, v1 alone, v2 alone. The first that is there will do. */
static const char *const cgroup_roots[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"};

struct lxcpath {
	char *path;
	struct watch *inotify; /* NULL: could not be had */
	int starts;            /* its watch of a root of cgroups; -1 = none */
	lxcpath_news news;
	void *user;
};

/* --- news --- */

/*
 * liblxc numbers a cgroup whose name is taken, by what an earlier monitor has left for example: lxc.monitor.c1-2 may be
 * c1's or c1-2's.
 */
static void tell_start(const struct lxcpath *lxcpath, const char *cgroup)
{
	char name[NAME_MAX + 1], *number;

	if (strncmp(cgroup, MONITOR, strlen(MONITOR)) != 0)
		return;
	snprintf(name, sizeof(name), "%s", cgroup + strlen(MONITOR));
	lxcpath->news(name, lxcpath->user);
	number = strrchr(name, '-');
	if (!number || strspn(number + 1, "0123456789") != strlen(number + 1))
		return;
	*number = '\0';
	lxcpath->news(name, lxcpath->user);
}

/* Which definition it was does not matter: one look at all costs little. */
static void on_inotify(void *user, int events)
{
	struct lxcpath *lxcpath = user;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event;
	bool changed = false;
	ssize_t size;

	while ((size = read(watch_fd(lxcpath->inotify), buffer, sizeof(buffer))) > 0)
		for (const char *at = buffer; at < buffer + size; at += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)at;
			if (event->wd != lxcpath->starts)
				changed = true;
			else if (event->len > 0)
				tell_start(lxcpath, event->name);
		}
	if (changed)
		lxcpath->news(NULL, lxcpath->user);
}

/* Watching what is watched already changes nothing, and a directory that is not there is tried again at the next look.
 */
static void watch_directory(const struct lxcpath *lxcpath, const char *directory, uint32_t mask)
{
	if (lxcpath->inotify)
		inotify_add_watch(watch_fd(lxcpath->inotify), directory, mask);
}

static void watch_starts(struct lxcpath *lxcpath)
{
	int fd = watch_fd(lxcpath->inotify);

	for (size_t i = 0; lxcpath->starts < 0 && i < sizeof(cgroup_roots) / sizeof(cgroup_roots[0]); i++)
		lxcpath->starts = inotify_add_watch(fd, cgroup_roots[i], IN_CREATE | IN_ONLYDIR);
	if (lxcpath->starts < 0)
		log_warn("containers that others start are not noticed, only seen by looking: %s", strerror(errno));
}

static int open_inotify(struct lxcpath *lxcpath, uv_loop_t *loop)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), r;

	r = fd < 0 ? -errno : watch_create(&lxcpath->inotify, loop, fd, on_inotify, lxcpath);
	if (r < 0)
		return r;
	watch_set(lxcpath->inotify, UV_READABLE);
	watch_starts(lxcpath);
	return 0;
}

int lxcpath_create(struct lxcpath **result, uv_loop_t *loop, const char *path, lxcpath_news news, void *user)
{
	struct lxcpath *lxcpath = calloc(1, sizeof(*lxcpath));
	int r;

	if (!lxcpath)
		return -ENOMEM;
	lxcpath->starts = -1;
	lxcpath->news = news;
	lxcpath->user = user;
	lxcpath->path = strdup(path);
	if (!lxcpath->path) {
		lxcpath_destroy(lxcpath);
		return -ENOMEM;
	}
	r = open_inotify(lxcpath, loop);
	if (r < 0)
		log_warn("%s is not watched, only looked at: inotify: %s", path, strerror(-r));
	else
		watch_directory(lxcpath, path, DEFINITIONS);
	*result = lxcpath;
	return 0;
}

void lxcpath_destroy(struct lxcpath *lxcpath)
{
	if (!lxcpath)
		return;
	watch_destroy(lxcpath->inotify);
	free(lxcpath->path);
	free(lxcpath);
}

const char *lxcpath_path(const struct lxcpath *lxcpath)
{
	return lxcpath->path;
}

/* --- definitions --- */

int lxcpath_find(const struct lxcpath *lxcpath, const char *name, int64_t *defined_at)
{
	char path[PATH_MAX];
	struct stat status;

	if (name[0] == '.' || snprintf(path, sizeof(path), "%s/%s/config", lxcpath->path, name) >= (int)sizeof(path))
		return -ENOENT;
	if (stat(path, &status) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	*defined_at = status.st_mtim.tv_sec * INT64_C(1000000000) + status.st_mtim.tv_nsec;
	return S_ISREG(status.st_mode) ? 0 : -ENOENT;
}

static void look_at(struct lxcpath *lxcpath, const char *name, lxcpath_each_callback each, void *user)
{
	char path[PATH_MAX];
	int64_t defined_at;
	int r = lxcpath_find(lxcpath, name, &defined_at);

	if (r == -ENOENT &&
	    name[0] != '.') { /* a directory comes before the config in it, which may come before we watch */
		snprintf(path, sizeof(path), "%s/%s", lxcpath->path, name);
		watch_directory(lxcpath, path, CONFIG_TO_COME);
		r = lxcpath_find(lxcpath, name, &defined_at);
	}
	if (r == 0)
		each(name, defined_at, user);
}

int lxcpath_each(struct lxcpath *lxcpath, lxcpath_each_callback each, void *user)
{
	struct dirent *entry;
	DIR *directory;

	watch_directory(lxcpath, lxcpath->path, DEFINITIONS);
	directory = opendir(lxcpath->path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory)))
		look_at(lxcpath, entry->d_name, each, user);
	closedir(directory);
	return 0;
}

/* --- whose they are --- */

/* `subordinate`: the ids of root's containers may own it too; zero: none. */
static int check_place(const char *place, const struct idmap *subordinate, struct error *error)
{
	struct stat status;
	bool theirs, writable;

	if (stat(place, &status) < 0)
		return error_set(error, -errno, "%s: %s", place, strerror(errno));
	theirs = status.st_uid != 0 && status.st_uid != geteuid() &&
		 (subordinate->uid == 0 || status.st_uid - subordinate->uid >= IDMAP_COUNT);
	writable = (status.st_mode & S_IWGRP) && status.st_gid != 0 &&
		   (subordinate->gid == 0 || status.st_gid - subordinate->gid >= IDMAP_COUNT);
	writable = (writable || (status.st_mode & S_IWOTH)) && !(S_ISDIR(status.st_mode) && status.st_mode & S_ISVTX);
	if (theirs)
		return error_set(error, -EPERM,
				 "%s belongs to uid %u, who could have root do anything: chown it to root", place,
				 status.st_uid);
	if (writable)
		return error_set(error, -EPERM,
				 "%s may be written to by others, who could have root do anything: chmod go-w it",
				 place);
	return 0;
}

/* `file` and the directories above it, but for `/`; lxc-create gives the lowest of them to the container's root. */
static int check_places(char *file, struct error *error)
{
	struct idmap subordinate = {0}, none = {0};
	char *lowest = strrchr(file, '/');
	int r = 0;

	if (idmap_read(&subordinate, NULL) < 0)
		subordinate = none;
	for (char *slash = file; r == 0 && (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		r = check_place(file, slash == lowest ? &subordinate : &none, error);
		*slash = '/';
	}
	return r == 0 ? check_place(file, &none, error) : r;
}

int lxcpath_check_owner(const char *path, const char *name, struct error *error)
{
	char file[PATH_MAX], real[PATH_MAX];
	int r;

	if (snprintf(file, sizeof(file), "%s/%s/config", path, name) >= (int)sizeof(file))
		return error_set(error, -ENAMETOOLONG, "%s/%s: %s", path, name, strerror(ENAMETOOLONG));
	if (!realpath(file, real))
		return error_set(error, -errno, "%s: %s", file, strerror(errno));
	r = check_places(file, error);
	return r == 0 ? check_places(real, error) : r; /* behind symbolic links there are others above */
}

/* --- who runs --- */

/* Anybody may bind an abstract name, and what is said there would be believed. */
static bool trusted(int fd, const char *path)
{
	struct identity peer;
	struct stat status;

	if (identity_of_peer(fd, &peer) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || (stat(path, &status) == 0 && peer.uid == status.st_uid);
}

bool lxcpath_running(const char *path, const char *name)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t length = command_address(path, name, &address);

	return fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0 && trusted(fd, path);
}
