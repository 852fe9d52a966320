// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/process.h"
#include "util/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads the rest of the line that begins with `field` from a file of /proc. -ENOENT, -ESRCH: there is none. */
static int read_field(const char *path, const char *field, char *value, size_t size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096], *at, *end;
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, sizeof(text) - 1);
	if (length < 0)
		return -errno;
	text[length] = '\0';
	at = strstr(text, field);
	if (!at)
		return -ENOENT;
	at += strlen(field);
	end = at + strcspn(at, "\n");
	snprintf(value, size, "%.*s", (int)(end - at), at);
	return 0;
}

static int read_status(pid_t pid, const char *field, char *value, size_t size)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return read_field(path, field, value, size);
}

pid_t process_of(int pidfd)
{
	char path[40], value[16];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = read_field(path, "\nPid:", value, sizeof(value));
	if (r < 0)
		return r;
	return atoi(value) > 0 ? atoi(value) : 0; /* -1: reaped */
}

pid_t process_parent(pid_t pid)
{
	char value[16];
	int r = read_status(pid, "\nPPid:", value, sizeof(value));

	return r < 0 ? r : atoi(value);
}

bool process_is_init(pid_t pid)
{
	char value[128], *last;

	if (read_status(pid, "\nNSpid:\t", value, sizeof(value)) < 0)
		return false;
	last = strrchr(value, '\t'); /* "4711\t1": its pid in each namespace, ours first */
	return last && strcmp(last, "\t1") == 0;
}

/* Whether the signal is in one of the sets that /proc/PID/status shows. */
static bool has_signal(pid_t pid, const char *set, int signal)
{
	char value[32];

	if (read_status(pid, set, value, sizeof(value)) < 0)
		return false;
	return strtoull(value, NULL, 16) & UINT64_C(1) << (signal - 1);
}

bool process_blocks(pid_t pid, int signal)
{
	return has_signal(pid, "\nSigBlk:", signal);
}

bool process_handles(pid_t pid, int signal)
{
	return process_blocks(pid, signal) || has_signal(pid, "\nSigCgt:", signal);
}

int process_signal_children(pid_t parent, pid_t spared, int signal)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	if (!processes)
		return 0;
	while ((entry = readdir(processes))) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;

		if (pid > 0 && pid != spared && process_parent(pid) == parent) {
			kill(pid, signal);
			count++;
		}
	}
	closedir(processes);
	return count;
}

int process_holds_master(int pidfd, int number, int master)
{
	cleanup_close int theirs = pidfd_getfd(pidfd, number, 0);
	struct stat their_file, our_file;
	int their_terminal, our_terminal;

	if (theirs < 0)
		return errno == EBADF ? -ENOENT : -errno;
	/* The number counts within a devpts; the file tells which that is. */
	if (ioctl(theirs, TIOCGPTN, &their_terminal) < 0 || ioctl(master, TIOCGPTN, &our_terminal) < 0 ||
	    fstat(theirs, &their_file) < 0 || fstat(master, &our_file) < 0)
		return -ENOENT;
	return their_terminal == our_terminal && their_file.st_dev == our_file.st_dev &&
			       their_file.st_ino == our_file.st_ino
		       ? 0
		       : -ENOENT;
}
