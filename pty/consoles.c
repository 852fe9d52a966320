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
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static int open_directory(int parent, const char *name, bool make)
{
	int fd;

	if (make && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, DIRECTORY_FLAGS | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int consoles_open(const struct consoles *consoles, const char *kind, const char *name, bool make)
{
	cleanup_close int parent = -1;

	if (!name_valid(name))
		return -EINVAL;
	parent = open_directory(consoles->directory, kind, make);
	return parent < 0 ? parent : open_directory(parent, name, make);
}

/*
 * As a subreaper we inherit what keepers leave behind: when one is killed, its program (whose status its next keeper
 * waits for), and orphans of programs. None of them is in our session. What is (children that other code started
 * through uv_spawn) is not ours to reap.
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
		waitpid(info.si_pid, NULL, WNOHANG);
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
static int remove_place(struct consoles *consoles, const char *kind, const char *name)
{
	cleanup_close int parent = open_directory(consoles->directory, kind, false);
	int place = consoles_open(consoles, kind, name, false), r;

	if (place < 0)
		return place == -ENOENT ? 0 : place;
	r = empty(place);
	if (r == 0 && (parent < 0 || unlinkat(parent, name, AT_REMOVEDIR) < 0))
		r = parent < 0 ? parent : -errno;
	return r;
}

int console_remove(struct consoles *consoles, const char *name)
{
	int r;

	if (kept(consoles, name))
		return -EBUSY;
	r = remove_place(consoles, "run", name);
	return r < 0 ? r : remove_place(consoles, "consoles", name);
}

int console_rename(struct consoles *consoles, const char *from, const char *to)
{
	cleanup_close int parent = open_directory(consoles->directory, "consoles", true);
	struct console *console = find(consoles, from);
	cleanup_free char *name = strdup(to);
	int r;

	if (!name_valid(from) || !name_valid(to))
		return -EINVAL;
	if (parent < 0 || !name)
		return parent < 0 ? parent : -ENOMEM;
	if (kept(consoles, from))
		return -EBUSY;
	if (renameat2(parent, from, parent, to, RENAME_NOREPLACE) < 0 && errno != ENOENT)
		return -errno;
	r = remove_place(consoles, "run", from); /* made anew when the next keeper starts */
	if (r < 0)
		log_warn("run/%s: %s", from, strerror(-r));
	if (console) {
		free(console->name);
		console->name = move_pointer(name);
	}
	return 0;
}
