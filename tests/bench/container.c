// SPDX-License-Identifier: Apache-2.0
/*
 * consoled-bench-container LXCPATH NAME ROOTFS TERMINAL: starts a container through liblxc alone, with its console on
 * TERMINAL, and stops it when its standard input ends. Says on its standard output how many nanoseconds each took, as
 * int64_t. A program of its own, so that liblxc is not in the memory of the others; see guest.c for the other side.
 */
#include "tests/bench/client.h"

#include <err.h>
#include <errno.h>
#include <glob.h>
#include <lxc/lxccontainer.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_LIMIT 300 /* seconds, as the other side has */

static void set(struct lxc_container *container, const char *key, const char *value)
{
	if (!container->set_config_item(container, key, value))
		errx(1, "liblxc does not take %s = %s", key, value);
}

/* The least that a privileged container needs. */
static struct lxc_container *describe(const char *lxcpath, const char *name, const char *rootfs, const char *terminal)
{
	struct lxc_container *container = lxc_container_new(name, lxcpath);
	char text[4096];

	if (!container)
		errx(1, "liblxc gives no container %s", name);
	snprintf(text, sizeof(text), "dir:%s", rootfs);
	set(container, "lxc.rootfs.path", text);
	set(container, "lxc.uts.name", name);
	set(container, "lxc.mount.auto", "proc:mixed sys:mixed");
	set(container, "lxc.apparmor.profile", "unconfined");
	set(container, "lxc.console.path", terminal);
	container->want_daemonize(container, true); /* otherwise start() would last until the end */
	return container;
}

static void report(int64_t started)
{
	int64_t took = clock_now() - started;

	write_all(STDOUT_FILENO, &took, sizeof(took));
}

/* liblxc leaves empty cgroups, and each start takes longer for having to find a name that is free. */
static void remove_cgroups(const char *name)
{
	glob_t found = {0};
	char pattern[256];

	snprintf(pattern, sizeof(pattern), "/sys/fs/cgroup/lxc.*.%s*", name);
	glob(pattern, 0, NULL, &found);
	snprintf(pattern, sizeof(pattern), "/sys/fs/cgroup/*/lxc.*.%s*", name);
	glob(pattern, GLOB_APPEND, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		rmdir(found.gl_pathv[i]);
	globfree(&found);
}

/* Until the other side wants no more. */
static void wait_for_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
		;
}

/* In a process of its own: liblxc moves the one that starts a container into a cgroup of the container's. */
static void start(struct lxc_container *container, const char *log)
{
	pid_t pid = fork();
	int64_t started;
	int status;

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		started = clock_now();
		if (!container->start(container, 0, NULL))
			errx(1, "liblxc does not start the container: see %s", log);
		report(started);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		exit(1);
}

static void stop(struct lxc_container *container, const char *log)
{
	int64_t started = clock_now();

	if (!container->stop(container))
		errx(1, "liblxc does not stop the container: see %s", log);
	report(started);
	while (waitpid(-1, NULL, 0) > 0) /* the monitor, as we are a subreaper; only then is the name free again */
		;
}

int main(int argc, char **argv)
{
	struct lxc_container *container;
	char log[4096];

	if (argc != 5)
		errx(2, "usage: consoled-bench-container LXCPATH NAME ROOTFS TERMINAL");
	alarm(TIME_LIMIT);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(log, sizeof(log), "%s/%s.log", argv[1], argv[2]);
	container = describe(argv[1], argv[2], argv[3], argv[4]);
	set(container, "lxc.log.file", log);
	start(container, log);
	wait_for_end();
	stop(container, log);
	remove_cgroups(argv[2]);
	lxc_container_put(container);
	return 0;
}
