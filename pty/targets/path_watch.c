// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/path_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define LINKS_MAX 8

/* IN_ATTRIB: udev makes the node first, and lets its group in afterwards. */
#define EVENTS (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR)

/* Watches the directory that `path` is in, or would be in: the lowest one of those above it that is there. */
static void watch_above(int fd, const char *path)
{
	char directory[PATH_MAX];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	while ((slash = strrchr(directory, '/')) && slash != directory) {
		*slash = '\0';
		if (inotify_add_watch(fd, directory, EVENTS) >= 0)
			return;
	}
	inotify_add_watch(fd, "/", EVENTS);
}

/* Goes where the link at `path` points to; false: it is none, or leads too far. */
static bool follow(char path[static PATH_MAX])
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	size_t directory = (size_t)(strrchr(path, '/') - path) + 1;

	if (length <= 0)
		return false;
	target[length] = '\0';
	if (target[0] == '/')
		directory = 0;
	return (size_t)snprintf(path + directory, PATH_MAX - directory, "%s", target) < PATH_MAX - directory;
}

int path_watch(const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char at[PATH_MAX];

	if (fd < 0)
		return -errno;
	snprintf(at, sizeof(at), "%s", path);
	for (int links = 0; links <= LINKS_MAX; links++) {
		watch_above(fd, at);
		if (!follow(at))
			break;
	}
	return fd;
}
