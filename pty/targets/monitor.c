// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/monitor.h"
#include "pty/targets/command.h"
#include "pty/targets/lxc.h"
#include "pty/targets/process.h"
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define ACCEPTS 0x10000 /* /proc/net/unix: flags of a socket that listens */

static void cleanup_close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

#define cleanup_directory __attribute__((cleanup(cleanup_close_directory)))

/* --- processes and their descriptors --- */

static pid_t next_process(DIR *proc)
{
	struct dirent *entry;

	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			return atoi(entry->d_name);
	return 0;
}

static DIR *open_descriptors(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	return opendir(path);
}

/* The next descriptor and what it is; -1: there is none. */
static int next_descriptor(DIR *descriptors, char link[static PATH_MAX], struct stat *is)
{
	struct dirent *entry;

	while ((entry = readdir(descriptors))) {
		ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, link, PATH_MAX - 1);

		if (length < 0 || fstatat(dirfd(descriptors), entry->d_name, is, 0) < 0)
			continue;
		link[length] = '\0';
		return atoi(entry->d_name);
	}
	return -1;
}

/* /dev/ptmx, /dev/pts/ptmx, or what is left of that name when seen from outside its mount. */
static bool is_multiplexer(const char *link)
{
	size_t length = strlen(link);

	return length >= strlen("ptmx") && strcmp(link + length - strlen("ptmx"), "ptmx") == 0;
}

/* The inode of its command socket; 0: no such container runs. */
static unsigned long command_socket(const struct console_container *container)
{
	char line[PATH_MAX];
	struct sockaddr_un address;
	unsigned long found = 0;
	FILE *file = fopen("/proc/net/unix", "re");

	command_address(container->path, container->name, &address);
	address.sun_path[0] = '@'; /* as it stands there */
	while (file && found == 0 && fgets(line, sizeof(line), file)) {
		unsigned long flags, inode;
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %lx %*s %*s %lu %n", &flags, &inode, &at) == 2 && at > 0 &&
		    (flags & ACCEPTS) && strcmp(line + at, address.sun_path) == 0)
			found = inode;
	}
	if (file)
		fclose(file);
	return found;
}

static bool holds_socket(pid_t pid, unsigned long inode)
{
	cleanup_directory DIR *descriptors = open_descriptors(pid);
	char link[PATH_MAX], wanted[40];
	struct stat is;

	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	while (descriptors && next_descriptor(descriptors, link, &is) >= 0)
		if (strcmp(link, wanted) == 0)
			return true;
	return false;
}

pid_t monitor_init(pid_t monitor)
{
	char path[64];
	pid_t child, found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", monitor, monitor);
	file = fopen(path, "re");
	while (file && found == 0 && fscanf(file, "%d", &child) == 1)
		if (process_is_init(child))
			found = child;
	if (file)
		fclose(file);
	return found;
}

/* Each is looked at again when it has a pidfd: from then on the pid is its own. An init that has ended is none. */
static bool open_processes(struct monitor *monitor, pid_t pid, unsigned long socket)
{
	monitor->pid = pid;
	monitor->pidfd = pidfd_open(pid, 0);
	monitor->init = monitor_init(pid);
	monitor->init_pidfd = monitor->init > 0 ? pidfd_open(monitor->init, 0) : -1;
	if (monitor->pidfd >= 0 && monitor->init_pidfd >= 0 && holds_socket(pid, socket) &&
	    monitor_init(pid) == monitor->init &&
	    poll(&(struct pollfd){.fd = monitor->init_pidfd, .events = POLLIN}, 1, 0) == 0)
		return true;
	monitor_finish(monitor);
	return false;
}

static bool find_processes(struct monitor *monitor, const struct console_container *container)
{
	unsigned long socket = command_socket(container);
	cleanup_directory DIR *proc = opendir("/proc");
	pid_t pid;

	while (proc && socket && (pid = next_process(proc)) > 0)
		if (holds_socket(pid, socket) && open_processes(monitor, pid, socket))
			return true;
	return false;
}

void monitor_finish(struct monitor *monitor)
{
	close_fd(&monitor->pidfd);
	close_fd(&monitor->init_pidfd);
}

bool monitor_listens(const struct console_container *container)
{
	return command_socket(container) != 0;
}

void monitor_kill(const struct console_container *container, int master)
{
	unsigned long socket = command_socket(container);
	cleanup_directory DIR *proc = opendir("/proc");
	pid_t pid;

	while (proc && socket && (pid = next_process(proc)) > 0) {
		cleanup_close int pidfd = holds_socket(pid, socket) ? pidfd_open(pid, 0) : -1;

		if (pidfd < 0 || process_holds_master(pidfd, CONTAINER_MASTER, master) < 0)
			continue;
		process_signal_children(pid, 0, SIGKILL);
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, 1000);
	}
}

bool monitor_has_open(const struct monitor *monitor, const struct stat *file)
{
	cleanup_directory DIR *descriptors = open_descriptors(monitor->pid);
	char link[PATH_MAX];
	struct stat is;

	while (descriptors && next_descriptor(descriptors, link, &is) >= 0)
		if (is.st_dev == file->st_dev && is.st_ino == file->st_ino)
			return true;
	return false;
}

/* --- terminals --- */

/* Whether it is a slave of devpts: UNIX98_PTY_SLAVE_MAJOR and the seven behind it. */
static bool is_pty(const struct stat *file)
{
	return S_ISCHR(file->st_mode) && major(file->st_rdev) >= 136 && major(file->st_rdev) <= 143;
}

/*
 * Whether `master` is the other end of the terminal `slave`. Opens a slave only if it looks like that one, which
 * others have open: where nobody has, our closing it again would be seen as a hang-up.
 */
static bool is_master_of(int master, const struct stat *slave)
{
	cleanup_close int peer = -1;
	unsigned int number;
	struct stat is;

	if (!is_pty(slave) || ioctl(master, TIOCGPTN, &number) < 0 || number != minor(slave->st_rdev))
		return false;
	peer = terminal_hold_slave(master);
	return peer >= 0 && fstat(peer, &is) == 0 && is.st_dev == slave->st_dev && is.st_rdev == slave->st_rdev;
}

static bool stat_console(pid_t init, struct stat *console)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT}; /* links are the guest's */
	cleanup_close int root = -1, fd = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/root", init);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0)
		fd = (int)syscall(SYS_openat2, root, "dev/console", &how, sizeof(how));
	return fd >= 0 && fstat(fd, console) == 0;
}

/*
 * Whether the monitor passes the console on to the PTY of `master`: it has its slave open. It also has both ends of the
 * console itself and perhaps of ttys (lxc.tty.max), which are of the container's devpts.
 */
static bool is_peer(const struct monitor *monitor, int master)
{
	cleanup_directory DIR *descriptors = open_descriptors(monitor->pid);
	char link[PATH_MAX], path[48];
	struct stat terminals, console, is;

	snprintf(path, sizeof(path), "/proc/%d/root/dev/pts", monitor->pid);
	if (!descriptors || stat(path, &terminals) < 0)
		return false;
	while (next_descriptor(descriptors, link, &is) >= 0)
		if (is.st_dev == terminals.st_dev && is_master_of(master, &is))
			return !stat_console(monitor->init, &console) || !is_master_of(master, &console);
	return false;
}

int monitor_find(struct monitor *monitor, const struct console_container *container)
{
	return find_processes(monitor, container) ? 0 : -ESRCH;
}

int monitor_console(const struct monitor *monitor)
{
	cleanup_directory DIR *descriptors = open_descriptors(monitor->pid);
	char link[PATH_MAX];
	struct stat console, is;
	int number;

	if (!descriptors || !stat_console(monitor->init, &console))
		return -1;
	while ((number = next_descriptor(descriptors, link, &is)) >= 0) {
		cleanup_close int fd = -1;

		if (!is_multiplexer(link))
			continue;
		fd = pidfd_getfd(monitor->pidfd, number, 0);
		if (fd >= 0 && is_master_of(fd, &console))
			return move_fd(&fd);
	}
	return -1;
}

int monitor_own_master(const struct monitor *monitor)
{
	cleanup_close int fd = pidfd_getfd(monitor->pidfd, CONTAINER_MASTER, 0);

	return fd >= 0 && is_peer(monitor, fd) ? move_fd(&fd) : -1;
}

/* (Not known: yes; closed meanwhile: no.) */
static bool is_same_file(pid_t one, int one_fd, pid_t other, int other_fd)
{
	long r = syscall(SYS_kcmp, one, other, KCMP_FILE, one_fd, other_fd);

	return r == 0 || (r < 0 && errno != ESRCH && errno != EBADF);
}

/* Whether anybody else has the monitor's descriptor `number`, too. */
static bool is_shared(const struct monitor *monitor, int number)
{
	cleanup_directory DIR *proc = opendir("/proc");
	pid_t pid;

	if (!proc)
		return true;
	while ((pid = next_process(proc)) > 0) {
		cleanup_directory DIR *descriptors = open_descriptors(pid);
		char link[PATH_MAX];
		struct stat is;
		int other;

		if (!descriptors || pid == monitor->pid || pid == getpid())
			continue;
		while ((other = next_descriptor(descriptors, link, &is)) >= 0)
			if (is_multiplexer(link) && is_same_file(monitor->pid, number, pid, other))
				return true;
	}
	return false;
}

int monitor_orphan(const struct monitor *monitor)
{
	cleanup_directory DIR *descriptors = open_descriptors(monitor->pid);
	char link[PATH_MAX];
	struct stat console, is;
	int number;

	if (!descriptors || !stat_console(monitor->init, &console) || !is_pty(&console))
		return -1; /* it starts: nobody has had the slot, and the console itself looks like it */
	while ((number = next_descriptor(descriptors, link, &is)) >= 0) {
		cleanup_close int fd = -1;

		if (!is_multiplexer(link))
			continue;
		fd = pidfd_getfd(monitor->pidfd, number, 0);
		if (fd < 0 || !is_peer(monitor, fd) || is_shared(monitor, number))
			continue;
		/* One that is being handed out at this moment looks the same. */
		if (poll(&(struct pollfd){.fd = fd}, 1, 20) == 0 && !is_shared(monitor, number))
			return move_fd(&fd);
	}
	return -1;
}
