// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/uucp_lock.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TRIES 3

/* The pid in a lock file; 0: there is no such file; -1: it names none. */
static pid_t owner_of(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char text[16] = "";
	int pid;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%d", &pid) != 1 || pid <= 0)
		return -1;
	return pid;
}

static bool is_stale(pid_t owner)
{
	return owner == 0 || (owner > 0 && kill(owner, 0) < 0 && errno == ESRCH);
}

/* Makes a file with our pid, of another name: so that none is ever seen without a pid. */
static int make(const char *path)
{
	cleanup_close int fd = -1;
	char text[16];
	int length = snprintf(text, sizeof(text), "%10d\n", (int)getpid());

	unlink(path); /* of one with our pid that was killed here */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0644) < 0 || write(fd, text, (size_t)length) != length) {
		unlink(path);
		return -EIO;
	}
	return 0;
}

int uucp_lock(struct uucp_lock *lock, const char *directory, const char *name, bool take, struct error *error)
{
	char path[sizeof(lock->path)], made[sizeof(lock->path)];
	pid_t owner = 0;
	int r;

	lock->path[0] = '\0';
	snprintf(made, sizeof(made), "%s/LTMP.%d", directory, (int)getpid());
	if ((size_t)snprintf(path, sizeof(path), "%s/LCK..%s", directory, name) >= sizeof(path) || make(made) < 0)
		return 0;
	for (int i = 0; i < TRIES; i++) {
		r = link(made, path) < 0 ? -errno : 0;
		if (r != -EEXIST)
			break;
		owner = owner_of(path);
		if ((!take && !is_stale(owner)) || (unlink(path) < 0 && errno != ENOENT))
			break;
	}
	unlink(made);
	if (r == 0)
		memcpy(lock->path, path, sizeof(path));
	if (r == -EEXIST && !is_stale(owner))
		return error_set(error, -EBUSY, "serial.device: %s is in use by another program, says %s", name, path);
	return 0;
}

void uucp_unlock(struct uucp_lock *lock)
{
	if (lock->path[0] && owner_of(lock->path) == getpid())
		unlink(lock->path);
	lock->path[0] = '\0';
}
