// SPDX-License-Identifier: Apache-2.0
#include "daemon/activation.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PASSED_START 3 /* SD_LISTEN_FDS_START */

/* How many descriptors are for us. */
static long take_environment(void)
{
	static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
	const char *pid = getenv(names[0]), *count = getenv(names[1]);
	long passed = 0;

	if (pid && count && strtol(pid, NULL, 10) == getpid())
		passed = strtol(count, NULL, 10);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	return passed;
}

static bool has_option(int fd, int name, int wanted)
{
	int value;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 && value == wanted;
}

/* Whoever may connect can have us run anything: systemd.socket(5) lets everybody, if not told otherwise. */
static int check_mode(const char *path, struct error *error)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (status.st_mode & S_IWOTH)
		return error_set(error, -EINVAL, "Everybody may connect to %s: the socket unit needs SocketMode=0660",
				 path);
	return 0;
}

static int check_socket(int fd, char path[static PATH_MAX], struct error *error)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof(address);

	if (!has_option(fd, SO_DOMAIN, AF_UNIX) || !has_option(fd, SO_TYPE, SOCK_STREAM) ||
	    !has_option(fd, SO_ACCEPTCONN, 1))
		return error_set(error, -EINVAL, "What the service manager has passed is no listening unix socket");
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return error_set(error, -errno, "The socket's name: %s", strerror(errno));
	if (!address.sun_path[0]) /* the abstract namespace has no permissions, unix(7) */
		return error_set(error, -EINVAL, "The service manager's socket has no path");
	snprintf(path, PATH_MAX, "%.*s", (int)sizeof(address.sun_path), address.sun_path);
	return check_mode(path, error);
}

static int adopt(char path[static PATH_MAX], struct error *error)
{
	cleanup_close int fd = PASSED_START;
	int r = check_socket(fd, path, error);

	if (r == 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0))
		r = error_set(error, -errno, "The service manager's socket: %s", strerror(errno));
	return r < 0 ? r : move_fd(&fd);
}

int activation_take(char path[static PATH_MAX], struct error *error)
{
	long passed = take_environment();

	if (passed > 1)
		return error_set(error, -EINVAL, "The service manager has passed %ld sockets: there is one to serve",
				 passed);
	return passed == 1 ? adopt(path, error) : 0;
}
