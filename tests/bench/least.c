// SPDX-License-Identifier: Apache-2.0
/*
 * The least programs that could do a part of the daemon's work, as physical limits on the machine at hand: a relay
 * between a unix socket and a PTY, one between two unix sockets, and a server that gives every request the same answer.
 */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Passes what is waiting in `from` on to `to` (-1: nowhere). false: `from` has ended; that `to` has, its reader sees.
 */
static bool relay_pass(int from, int to)
{
	char data[LINK_BUFFER];
	ssize_t length = read(from, data, sizeof(data)), n;

	if (length <= 0)
		return false;
	for (ssize_t done = 0; to >= 0 && done < length; done += n) {
		n = write(to, data + done, (size_t)(length - done));
		if (n < 0)
			break;
	}
	return true;
}

/* One client at a time; what the program prints while there is none is dropped. */
void relay_serve(const char *path, char *const *program)
{
	pid_t pid;
	struct pollfd pollers[] = {
		{.fd = pty_spawn(program, &pid), .events = POLLIN},
		{.fd = -1, .events = POLLIN},
		{.fd = unix_listen(path), .events = POLLIN},
	};
	int *master = &pollers[0].fd, *client = &pollers[1].fd, *listener = &pollers[2].fd;

	for (;;) {
		if (poll(pollers, *client < 0 ? 3 : 2, -1) < 0)
			err(1, "poll");
		if (pollers[0].revents && !relay_pass(*master, *client))
			return;
		if (*client >= 0 && pollers[1].revents && !relay_pass(*client, *master))
			close_fd(client);
		else if (*client < 0 && pollers[2].revents)
			*client = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
		pollers[1].revents = pollers[2].revents = 0;
	}
}

static void forward(int client, int server)
{
	struct pollfd pollers[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};

	while (poll(pollers, 2, -1) > 0)
		if ((pollers[0].revents && !relay_pass(client, server)) ||
		    (pollers[1].revents && !relay_pass(server, client)))
			return;
}

void forward_serve(const char *path, const char *target)
{
	int listener = unix_listen(path);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			err(1, "accept");
		if (fork() == 0) {
			forward(fd, unix_connect(target));
			_exit(0);
		}
		close(fd);
	}
}

char *read_file(const char *path, size_t *length)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	char *text;

	if (fd < 0 || fstat(fd, &status) < 0)
		err(1, "%s", path);
	*length = (size_t)status.st_size;
	text = malloc(*length);
	if (!text || read(fd, text, *length) != status.st_size)
		err(1, "%s", path);
	return text;
}

#define ANSWER_CLIENTS 64

/* Answers each request (without a body) with the bytes of `file`. */
void answer_serve(const char *path, const char *file)
{
	size_t length, count = 1;
	cleanup_free char *answer = read_file(file, &length);
	struct pollfd pollers[1 + ANSWER_CLIENTS] = {{.fd = unix_listen(path), .events = POLLIN}};
	char request[4096];

	for (;;) {
		if (poll(pollers, count, -1) < 0)
			err(1, "poll");
		for (size_t i = count - 1; i > 0; i--) {
			if (!pollers[i].revents)
				continue;
			if (read(pollers[i].fd, request, sizeof(request)) > 0) {
				write_all(pollers[i].fd, answer, length);
			} else {
				close(pollers[i].fd);
				pollers[i] = pollers[--count];
			}
		}
		if (pollers[0].revents && count < 1 + ANSWER_CLIENTS)
			pollers[count++] = (struct pollfd){.fd = accept4(pollers[0].fd, NULL, NULL, SOCK_CLOEXEC),
							   .events = POLLIN};
	}
}
