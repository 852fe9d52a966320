// SPDX-License-Identifier: Apache-2.0
#include "pty/consoles.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY)

static bool name_valid(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/') && strlen(name) <= CONSOLE_NAME_MAX;
}

static int open_directory(int parent, const char *name, bool make)
{
	int fd;

	if (make && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, DIRECTORY_FLAGS | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Opens DIR/KIND/NAME, whatever the name. */
static int open_place(const struct consoles *consoles, const char *kind, const char *name, bool make)
{
	cleanup_close int parent = open_directory(consoles->directory, kind, make);

	return parent < 0 ? parent : open_directory(parent, name, make);
}

int consoles_open(const struct consoles *consoles, const char *kind, const char *name, bool make)
{
	return name_valid(name) ? open_place(consoles, kind, name, make) : -EINVAL;
}

/* The console whose program our child `pid` is, if it is one's; and not another that has got its number. */
static struct console *find_orphaned(struct consoles *consoles, pid_t pid)
{
	struct console *console;
	siginfo_t info = {0};

	list_for_each (console, &consoles->list, link)
		if (console->pid == pid && console->pidfd >= 0 &&
		    waitid(P_PIDFD, (id_t)console->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid == pid)
			return console;
	return NULL;
}

/*
 * As a subreaper we inherit what keepers leave behind: when one is killed, its program (whose status its next keeper
 * waits for; we may not have heard of that death yet), and orphans of programs. None of them is in our session. What is
 * (children that other code started through uv_spawn) is not ours to reap.
 */
static void on_child(uv_signal_t *signal, int number)
{
	struct consoles *consoles = signal->data;
	siginfo_t info = {0};
	struct console *console;
	int status;

	list_for_each (console, &consoles->list, link)
		if (console->adopted && waitpid(console->pid, &status, WNOHANG) == console->pid)
			console_on_status(console, status);
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
		if (getsid(info.si_pid) == getsid(0))
			return;
		console = find_orphaned(consoles, info.si_pid);
		if (waitpid(info.si_pid, &status, WNOHANG) == info.si_pid && console)
			console_on_status(console, status);
		info.si_pid = 0;
	}
}

static void free_consoles(uv_handle_t *handle)
{
	struct consoles *consoles = handle->data;

	if (consoles->directory >= 0)
		close(consoles->directory);
	for (size_t kind = 0; kind < CONSOLE_KINDS; kind++)
		free(consoles->keepers[kind]);
	free(consoles);
}

static int name_keepers(struct consoles *consoles, const char *keeper)
{
	static const char *const suffixes[CONSOLE_KINDS] = {[CONSOLE_PROGRAM] = "",
							    [CONSOLE_CONTAINER] = "-lxc",
							    [CONSOLE_MACHINE] = "-qemu",
							    [CONSOLE_SERIAL] = "-serial"};

	for (size_t kind = 0; kind < CONSOLE_KINDS; kind++)
		if (asprintf(&consoles->keepers[kind], "%s%s", keeper, suffixes[kind]) < 0) {
			consoles->keepers[kind] = NULL;
			return -ENOMEM;
		}
	return 0;
}

int consoles_create(struct consoles **result, uv_loop_t *loop, const char *directory, const char *keeper)
{
	struct consoles *consoles = calloc(1, sizeof(*consoles));
	int r;

	if (!consoles)
		return -ENOMEM;
	list_init(&consoles->list);
	consoles->loop = loop;
	consoles->child.data = consoles;
	r = uv_signal_init(loop, &consoles->child);
	if (r < 0) {
		free(consoles);
		return r;
	}
	r = name_keepers(consoles, keeper);
	consoles->directory = open(directory, DIRECTORY_FLAGS | O_CLOEXEC);
	if (r == 0 && consoles->directory < 0)
		r = -errno;
	if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0)
		r = -errno;
	if (r == 0)
		r = uv_signal_start(&consoles->child, on_child, SIGCHLD);
	if (r < 0) {
		consoles_destroy(consoles);
		return r;
	}
	*result = consoles;
	return 0;
}

void consoles_destroy(struct consoles *consoles)
{
	if (consoles)
		uv_close((uv_handle_t *)&consoles->child, free_consoles);
}

static struct console *find(struct consoles *consoles, const char *name)
{
	struct console *console;

	list_for_each (console, &consoles->list, link)
		if (strcmp(console->name, name) == 0)
			return console;
	return NULL;
}

/* Whether a keeper runs for `name`, of ours or of an earlier daemon that nobody has made a handle for yet. */
static bool kept(struct consoles *consoles, const char *name)
{
	struct console *console = find(consoles, name);
	cleanup_close int fd = -1;
	pid_t pid;

	if (console)
		return console->phase != KEEPER_IDLE;
	fd = keeper_connect(consoles, name, &pid);
	return fd >= 0;
}

/* Removes the files of a directory; it holds nothing else. Consumes the descriptor. */
static int empty(int place)
{
	DIR *directory = fdopendir(place);
	struct dirent *entry;
	int r = 0;

	if (!directory) {
		close(place);
		return -errno;
	}
	while (r == 0 && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    unlinkat(dirfd(directory), entry->d_name, 0) < 0 && errno != ENOENT)
			r = -errno;
	closedir(directory);
	return r;
}

/* Removes DIR/KIND/NAME. */
static int remove_place(const struct consoles *consoles, const char *kind, const char *name)
{
	cleanup_close int parent = open_directory(consoles->directory, kind, false);
	int place = parent < 0 ? parent : open_directory(parent, name, false), r;

	if (place < 0)
		return place == -ENOENT ? 0 : place;
	r = empty(place);
	return r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : r;
}

/* --- moves --- */

/* What consoles/FROM is called meanwhile. No instance has such a name. */
static int name_meanwhile(char meanwhile[static NAME_MAX + 1], const char *from, const char *to)
{
	return snprintf(meanwhile, NAME_MAX + 1, ".%s:%s", from, to) > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Within consoles/. A console that was never used is not there. */
static int rename_log(const struct consoles *consoles, const char *from, const char *to)
{
	cleanup_close int parent = open_directory(consoles->directory, "consoles", true);

	if (parent < 0)
		return parent;
	return renameat2(parent, from, parent, to, RENAME_NOREPLACE) < 0 && errno != ENOENT ? -errno : 0;
}

int console_begin_move(struct consoles *consoles, const char *from, const char *to)
{
	char meanwhile[NAME_MAX + 1];
	cleanup_close int taken = -1;
	int r = name_meanwhile(meanwhile, from, to);

	if (!name_valid(from) || (*to && !name_valid(to)))
		return -EINVAL;
	if (r < 0)
		return r;
	if (kept(consoles, from))
		return -EBUSY;
	taken = *to ? open_place(consoles, "consoles", to, false) : -ENOENT;
	if (taken != -ENOENT)
		return taken < 0 ? taken : -EEXIST;
	r = rename_log(consoles, from, meanwhile);
	if (r != -EEXIST)
		return r;
	r = remove_place(consoles, "consoles",
			 meanwhile); /* of an earlier one of that name, which could not be removed */
	return r < 0 ? r : rename_log(consoles, from, meanwhile);
}

int console_end_move(struct consoles *consoles, const char *from, const char *to, bool moved)
{
	char meanwhile[NAME_MAX + 1];
	struct console *console;
	int r = name_meanwhile(meanwhile, from, to), removed;

	if (r < 0)
		return r;
	if (!moved)
		return rename_log(consoles, meanwhile, from);
	removed = remove_place(consoles, "run", from); /* made anew when the next keeper starts */
	r = *to ? rename_log(consoles, meanwhile, to) : remove_place(consoles, "consoles", meanwhile);
	console = find(consoles, from);
	if (r == 0 && *to && console)
		strcpy(console->name, to);
	return r < 0 ? r : removed;
}

int console_remove(struct consoles *consoles, const char *name)
{
	int r = console_begin_move(consoles, name, "");

	return r < 0 ? r : console_end_move(consoles, name, "", true);
}

int console_begin_make(struct consoles *consoles, const char *name)
{
	cleanup_close int parent = open_directory(consoles->directory, "consoles", true);
	char meanwhile[NAME_MAX + 1];
	int r = name_meanwhile(meanwhile, name, "");

	if (!name_valid(name))
		return -EINVAL;
	if (parent < 0 || r < 0)
		return parent < 0 ? parent : r;
	return mkdirat(parent, meanwhile, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int console_end_make(struct consoles *consoles, const char *name)
{
	char meanwhile[NAME_MAX + 1];
	int r = name_meanwhile(meanwhile, name, "");

	return r < 0 ? r : remove_place(consoles, "consoles", meanwhile);
}

/* Brings one of those to its end. `meanwhile` becomes two names. */
static int settle(struct consoles *consoles, char *meanwhile, bool (*exists)(const char *name, void *user), void *user)
{
	char *from = meanwhile + 1, *to = strrchr(from, ':');
	bool moved;
	int r;

	*to++ = '\0';
	moved = !exists(from, user);
	r = console_end_move(consoles, from, to, moved);
	if (r == -EEXIST && !moved) { /* it has another log by now */
		*--to = ':';
		r = remove_place(consoles, "consoles", meanwhile);
	} else if (r == 0 && moved && !*to) { /* it has not been made to its end */
		r = remove_place(consoles, "consoles", from);
	}
	return r;
}

int consoles_settle(struct consoles *consoles, bool (*exists)(const char *name, void *user), void *user)
{
	int place = open_directory(consoles->directory, "consoles", true), r;
	DIR *directory = place < 0 ? NULL : fdopendir(place);
	struct dirent *entry;

	if (!directory) {
		r = -errno;
		close_fd(&place);
		return r;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] != '.' || !strchr(entry->d_name, ':'))
			continue;
		log_info("consoles/%s: is brought to its end", entry->d_name);
		r = settle(consoles, entry->d_name, exists, user);
		if (r < 0)
			log_warn("consoles/%s: %s", entry->d_name, strerror(-r));
	}
	closedir(directory);
	return 0;
}
