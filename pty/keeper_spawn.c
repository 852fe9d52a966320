// SPDX-License-Identifier: Apache-2.0
/* How the daemon gets to a keeper: it starts one, or connects to one that an earlier daemon has started. */
#include "pty/consoles.h"
#include "pty/target_file.h"
#include "util/cleanup.h"
#include "util/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What it inherits, in this order from 3 on; and above which our own descriptors must be, to be copied there. */
#define INHERITED 3
#define INHERITED_COUNT 4

static int raise_fd(int *fd)
{
	int raised = fcntl(*fd, F_DUPFD_CLOEXEC, INHERITED + INHERITED_COUNT);

	if (raised < 0)
		return -errno;
	close(*fd);
	*fd = raised;
	return 0;
}

static int prepare_files(posix_spawn_file_actions_t *actions, int descriptors[static INHERITED_COUNT])
{
	int r = 0;

	for (int fd = 0; r == 0 && fd < INHERITED; fd++)
		r = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
	for (int i = 0; r == 0 && i < INHERITED_COUNT; i++)
		r = posix_spawn_file_actions_adddup2(actions, descriptors[i], INHERITED + i);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, INHERITED + INHERITED_COUNT);
	return -r;
}

static int prepare_process(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int r;

	sigfillset(&all);
	sigemptyset(&none);
	r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attributes, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attributes, &none);
	return -r;
}

static int spawn(const char *path, const char *name, int descriptors[static INHERITED_COUNT], pid_t *pid)
{
	char *argv[] = {(char *)path, (char *)name, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r;

	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attributes);
	if (r < 0)
		goto finish_actions;
	r = prepare_files(&actions, descriptors);
	if (r == 0)
		r = prepare_process(&attributes);
	if (r == 0)
		r = -posix_spawn(pid, path, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
finish_actions:
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Opens the keeper's directory and, writable, its ring. */
static int open_place(const struct consoles *consoles, const char *name, int *directory, int *ring)
{
	cleanup_close int place = consoles_open(consoles, "consoles", name, false);

	if (place < 0)
		return place;
	*ring = openat(place, "ring", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (*ring < 0)
		return -errno;
	*directory = consoles_open(consoles, "run", name, true);
	return *directory < 0 ? *directory : 0;
}

/*
 * Binds run/NAME/keeper; by way of the directory's descriptor, so that the path is short whatever the directory. The
 * keeper itself would be too late: if we are killed before it has come so far, our successor must find it all the same.
 */
static int listen_in(int directory)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/keeper", directory);
	unlink(address.sun_path); /* of a keeper that was killed */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0)
		return -errno;
	return move_fd(&fd);
}

int keeper_spawn(const struct consoles *consoles, enum console_kind kind, const char *name, pid_t *pid,
		 struct error *error)
{
	static const char *const optional[CONSOLE_KINDS] = {
		[CONSOLE_CONTAINER] = "containers",
		[CONSOLE_MACHINE] = "virtual machines",
		[CONSOLE_SERIAL] = "serial devices",
	};
	const char *path = consoles->keepers[kind];
	cleanup_close int ours = -1, theirs = -1, directory = -1, ring = -1, listener = -1;
	int ends[2], r;

	if (optional[kind] && access(path, X_OK) < 0)
		return error_set(error, -ENOSYS, "This consoled has no %s: there is no %s", optional[kind], path);
	r = open_place(consoles, name, &directory, &ring);
	if (r < 0)
		return error_set(error, r, "console of \"%s\": %s", name, strerror(-r));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return error_set(error, -errno, "keeper: %s", strerror(errno));
	ours = ends[0];
	theirs = ends[1];
	r = raise_fd(&theirs);
	if (r == 0)
		r = raise_fd(&directory);
	if (r == 0)
		r = raise_fd(&ring);
	if (r == 0)
		r = listener = listen_in(directory);
	if (r >= 0)
		r = raise_fd(&listener);
	if (r == 0)
		r = spawn(path, name, (int[]){theirs, directory, ring, listener}, pid);
	if (r < 0)
		return error_set(error, r, "keeper \"%s\": %s", path, strerror(-r));
	return move_fd(&ours);
}

int keeper_connect(const struct consoles *consoles, const char *name, pid_t *pid)
{
	cleanup_close int directory = consoles_open(consoles, "run", name, false);
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct identity peer;
	int r;

	if (directory < 0)
		return directory;
	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/keeper", directory);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == ECONNREFUSED ? -ENOENT : -errno;
	r = identity_of_peer(fd, &peer);
	if (r < 0)
		return r;
	if (peer.uid != geteuid() && peer.uid != 0)
		return -EPERM;
	*pid = peer.pid;
	return move_fd(&fd);
}

void keeper_forget(const struct consoles *consoles, const char *name)
{
	cleanup_close int directory = consoles_open(consoles, "run", name, false);

	if (directory < 0)
		return;
	unlinkat(directory, "keeper", 0);
	target_file_remove(directory);
}
