// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/lxc.h"
#include "pty/targets/monitor.h"
#include "pty/targets/process.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lxc/lxccontainer.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/param.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* liblxc closes all that its monitor inherits, but the descriptors up to this number: they come from systemd. */
#define LISTEN_FDS "3" /* CONTAINER_MASTER */
#define SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define PAUSE_MAX 1000 /* ms */
#define LOG_READ 65536
#define LOCKS "/run/lxc/lock" /* liblxc's, for root */

static void put_container(struct lxc_container **container)
{
	if (*container)
		lxc_container_put(*container); /* also removes its lock file */
}

#define cleanup_container __attribute__((cleanup(put_container)))

/* --- its processes --- */

/*
 * When init's parent is the same after the parent's pidfd was opened, neither pid had become somebody else's. -ESRCH:
 * it is ending; then nothing is noted.
 */
static int note_processes(pid_t init, struct foreign *found)
{
	cleanup_close int init_pidfd = pidfd_open(init, 0);
	pid_t monitor = process_parent(init);
	cleanup_close int monitor_pidfd = monitor > 0 ? pidfd_open(monitor, 0) : -1;

	if (init_pidfd < 0 || monitor_pidfd < 0 || process_parent(init) != monitor)
		return -ESRCH;
	found->init = init;
	found->monitor = monitor;
	found->init_pidfd = move_fd(&init_pidfd);
	found->monitor_pidfd = move_fd(&monitor_pidfd);
	return 0;
}

/*
 * Between two boots, init_pid() waits for the next init; but now and then it gives one that has ended, or none. What
 * tells that there will be no other is that the monitor is not to be asked any more.
 */
static int find_init(struct lxc_container *c, const struct console_container *container, struct foreign *found)
{
	pid_t init = c->init_pid(c);

	for (int pause = 1; init <= 0 || note_processes(init, found) < 0; pause = MIN(2 * pause, PAUSE_MAX)) {
		if (!monitor_listens(container))
			return -ESRCH;
		poll(NULL, 0, pause);
		init = c->init_pid(c);
	}
	return 0;
}

static bool is_frozen(struct lxc_container *c)
{
	const char *state = c->state(c);

	return state && strcmp(state, "FROZEN") == 0;
}

static void look(struct lxc_container *c, struct job_report *report)
{
	cleanup_free char *halt = NULL;

	c->set_config_item(c, "lxc.log.level", "WARN"); /* or it has no configuration, and does not ask for another's */
	halt = c->get_running_config_item(c, "lxc.signal.halt");
	report->halt = halt ? atoi(halt) : 0;
	report->frozen = is_frozen(c);
}

void container_look(const struct console_container *container, struct job_report *report)
{
	cleanup_close int locks = container_share_locks(container->path);
	cleanup_container struct lxc_container *c = lxc_container_new(container->name, container->path);

	if (c)
		look(c, report);
}

int container_find(const struct console_container *container, struct job_report *report)
{
	cleanup_close int locks = container_share_locks(container->path);
	cleanup_container struct lxc_container *c = lxc_container_new(container->name, container->path);

	if (!c || find_init(c, container, &report->found) < 0)
		return -ESRCH;
	look(c, report);
	return 0;
}

/* --- configuration --- */

static int set_item(struct lxc_container *c, const char *key, const char *value, struct error *error)
{
	if (c->set_config_item(c, key, value))
		return 0;
	return error_set(error, -EINVAL, "liblxc does not take \"%s = %s\"", key, value);
}

static int set_items(struct lxc_container *c, char *const *items, struct error *error)
{
	int r = 0;

	for (; r == 0 && *items; items++) {
		cleanup_free char *key = strdup(*items);
		char *value = key ? strchr(key, '=') : NULL;

		if (!key)
			return error_set(error, -ENOMEM, "liblxc: no memory");
		if (!value)
			return error_set(error, -EINVAL, "liblxc does not take \"%s\"", *items);
		*value++ = '\0';
		r = set_item(c, key, value, error);
	}
	return r;
}

/* Opens the container with the configuration to be started with, but for its console. */
static struct lxc_container *open_container(const struct console_container *container, struct error *error)
{
	static const char *const console[] = {"lxc.console.path", "lxc.console.logfile", "lxc.console.rotate",
					      "lxc.console.size", "lxc.console.buffer.size"};
	struct lxc_container *c = lxc_container_new(container->name, container->path);

	if (!c || (container->defined && !c->is_defined(c))) {
		error_set(error, -EINVAL, "liblxc cannot read \"%s/%s/config\"", container->path, container->name);
		put_container(&c);
		return NULL;
	}
	if (!container->defined)
		c->clear_config(c);
	for (size_t i = 0; i < sizeof(console) / sizeof(console[0]); i++)
		c->clear_config_item(c, console[i]); /* false: it was not set */
	return c;
}

static int configure(struct lxc_container *c, const struct console_container *container, int master,
		     struct error *error)
{
	char path[64];
	int r;

	if (ptsname_r(master, path, sizeof(path)) != 0)
		return error_set(error, -errno, "console: %s", strerror(errno));
	r = set_item(c, "lxc.log.level", "WARN", error);
	if (r == 0)
		r = set_items(c, container->items, error);
	if (r == 0)
		r = set_item(c, "lxc.console.path", path, error);
	if (r == 0)
		r = set_item(c, "lxc.log.file", container->log, error);
	return r;
}

/* --- what liblxc says in its log --- */

/* The error number whose text `words` begin with, if " - " follows: so liblxc writes a system call's error. */
static int leading_errno(const char *words, size_t *length)
{
	for (int code = 1; code < 134; code++) {
		const char *text = strerror(code);

		*length = strlen(text);
		if (strncmp(words, text, *length) == 0 && strncmp(words + *length, " - ", 3) == 0)
			return code;
	}
	return 0;
}

/* "lxc c1 20261123145531.760 ERROR    network - network.c:create:711 - No such file or directory - Failed to .." */
static int take_words(char *line, struct error *error)
{
	char *words = strstr(line, " - ");
	size_t length;
	int code;

	words = words ? strstr(words + 3, " - ") : NULL;
	if (!words)
		return 0;
	words += 3;
	code = leading_errno(words, &length);
	if (code == 0)
		return error_set(error, -EINVAL, "%s", words);
	return error_set(error, -code, "%s: %.*s", words + length + 3, (int)length, words);
}

/* The first error is the reason; what follows are its consequences. */
static int explain(const char *log, int code, struct error *error)
{
	cleanup_close int fd = open(log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[LOG_READ], *at = text;
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	int r = 0;

	text[length > 0 ? length : 0] = '\0';
	while (r == 0 && *at) {
		char *line = at;

		at += strcspn(at, "\n");
		if (*at)
			*at++ = '\0';
		if (strstr(line, " ERROR "))
			r = take_words(line, error);
	}
	return r < 0 ? r : error_set(error, -EIO, "liblxc does not start it (error %d), and does not say why", code);
}

static int begin_log(const char *path, struct error *error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

/* --- starting --- */

/* What the monitor inherits: the master, and of the environment nothing that is ours. */
static int prepare_process(int master, struct error *error)
{
	if (master != CONTAINER_MASTER && dup3(master, CONTAINER_MASTER, O_CLOEXEC) < 0)
		return error_set(error, -errno, "console: %s", strerror(errno));
	umask(022);
	if (clearenv() != 0 || setenv("PATH", SEARCH_PATH, 1) < 0 || setenv("LISTEN_FDS", LISTEN_FDS, 1) < 0)
		return error_set(error, -ENOMEM, "liblxc: no memory");
	return 0;
}

/* It may end before it can be looked at. */
static void start(struct lxc_container *c, const struct console_container *container, struct job_report *report)
{
	c->want_daemonize(c, true);
	if (!c->start(c, 0, NULL)) {
		explain(container->log, c->error_num, &report->error);
		return;
	}
	if (find_init(c, container, &report->found) == 0)
		look(c, report);
}

/*
 * An earlier keeper may have been killed while it started this container. If that start succeeds after all, init_pid()
 * waits for it; the monitor has our master, then.
 */
static bool runs_already(const struct console_container *container, int master, struct job_report *report)
{
	if (container_find(container, report) < 0)
		return false;
	if (process_holds_master(report->found.monitor_pidfd, CONTAINER_MASTER, master) < 0)
		error_set(&report->error, -EBUSY, "\"%s\" in \"%s\" runs already", container->name, container->path);
	return true;
}

void container_start(const struct console_container *container, int master, struct job_report *report)
{
	struct error *error = &report->error;
	cleanup_container struct lxc_container *c = NULL;
	cleanup_close int locks = -1;

	if (prepare_process(master, error) < 0)
		return;
	locks = container_share_locks(container->path);
	if (runs_already(container, CONTAINER_MASTER, report) || begin_log(container->log, error) < 0)
		return;
	c = open_container(container, error);
	if (c && configure(c, container, CONTAINER_MASTER, error) == 0)
		start(c, container, report);
}

/* --- freezing --- */

int container_freeze(const struct console_container *container, bool frozen, struct error *error)
{
	const char *what = frozen ? "freeze" : "thaw";
	cleanup_close int locks = container_share_locks(container->path);
	cleanup_container struct lxc_container *c = lxc_container_new(container->name, container->path);

	if (!c)
		return error_set(error, -ENOMEM, "liblxc cannot %s it", what);
	/* It refuses where there is no configuration at all, and ours have none on disk. */
	c->set_config_item(c, "lxc.uts.name", container->name);
	if (is_frozen(c) == frozen)
		return 0;
	if (!(frozen ? c->freeze(c) : c->unfreeze(c)))
		return error_set(error, -EIO, "liblxc cannot %s it", what);
	if (is_frozen(c) != frozen) /* no freezer in its cgroups: then liblxc does nothing, successfully */
		return error_set(error, -EOPNOTSUPP, "It does not %s: this system has no freezer for it", what);
	return 0;
}

/* --- lock files --- */

int container_share_locks(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		flock(fd, LOCK_SH);
	return fd;
}

/* Removes the directory for `path`, and the one above it: others may be in those above that at any moment. */
static void remove_lock_directories(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char directory[PATH_MAX];

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	if (snprintf(directory, sizeof(directory), LOCKS "%s", path) >= (int)sizeof(directory))
		return;
	if (rmdir(directory) == 0 && strrchr(path, '/') > path) {
		*strrchr(directory, '/') = '\0';
		rmdir(directory);
	}
}

void container_remove_locks(const struct console_container *container)
{
	char file[PATH_MAX];

	if (snprintf(file, sizeof(file), LOCKS "%s/.%s", container->path, container->name) < (int)sizeof(file))
		unlink(file);
	if (!container->defined) /* nobody else uses that path */
		remove_lock_directories(container->path);
}
