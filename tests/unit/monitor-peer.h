// SPDX-License-Identifier: Apache-2.0
/*
 * For tests of visits to QEMU's monitor: a QEMU made by hand, which listens on the socket `qmp` in a directory of its
 * own, and hears and speaks between turns of the visitor's loop.
 */
#pragma once

#include "spice/monitor.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h> /* needs some of the above */

#define PATIENCE_MS 10000
#define TURN_MS 2

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define INTRODUCTION "{\"execute\":\"qmp_capabilities\",\"id\":1}"
#define EVENT "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RTC_CHANGE\", \"data\": {}}\r\n"

struct peer {
	uv_loop_t loop;
	char path[32];
	int directory, listener;
	int fd;    /* to the visitor */
	int given; /* the descriptor that came last */
	char line[4096];
	size_t descriptors; /* open ones, before the test */
};

static size_t count_descriptors(void)
{
	DIR *listing = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(listing);
	while (readdir(listing))
		count++;
	closedir(listing);
	return count;
}

static struct sockaddr_un address_in(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" MONITOR_SOCKET, path);
	return address;
}

static void peer_listen(struct peer *peer, int backlog)
{
	struct sockaddr_un address = address_in(peer->path);

	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listener, backlog), 0);
}

static void peer_init(struct peer *peer)
{
	*peer = (struct peer){.path = "/tmp/tm-XXXXXX", .listener = -1, .fd = -1, .given = -1};
	assert_int_equal(uv_loop_init(&peer->loop), 0);
	peer->descriptors = count_descriptors();
	assert_non_null(mkdtemp(peer->path));
	peer->directory = open(peer->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(peer->directory >= 0);
}

/* Nothing may be left: no handle on the loop, no descriptor. */
static void peer_finish(struct peer *peer)
{
	uv_run(&peer->loop, UV_RUN_DEFAULT);
	unlinkat(peer->directory, MONITOR_SOCKET, 0);
	assert_int_equal(rmdir(peer->path), 0);
	close_fd(&peer->directory);
	close_fd(&peer->listener);
	close_fd(&peer->fd);
	close_fd(&peer->given);
	assert_int_equal(count_descriptors(), peer->descriptors);
	assert_int_equal(uv_loop_close(&peer->loop), 0);
}

/* Lets the visitor work once; true while there is time left. To be called until something is so. */
static bool turn(struct peer *peer, int *turns)
{
	uv_run(&peer->loop, UV_RUN_NOWAIT);
	poll(NULL, 0, TURN_MS);
	return ++*turns < PATIENCE_MS / TURN_MS;
}

static void peer_accept(struct peer *peer)
{
	int turns = 0;

	do
		peer->fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (peer->fd < 0 && turn(peer, &turns));
	assert_true(peer->fd >= 0);
}

static void peer_say(struct peer *peer, const char *text)
{
	assert_int_equal(send(peer->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What has come: 1 byte and the descriptor with it; 0 at the end; -1: nothing. */
static ssize_t take_byte(struct peer *peer, char *byte)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec piece = {byte, 1};
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC);

	if (length == 1 && message.msg_controllen) {
		assert_int_equal(peer->given, -1);
		memcpy(&peer->given, CMSG_DATA(&control.header), sizeof(int));
	}
	return length;
}

/* Hears one line, without its end; peer->line. */
static const char *peer_hear(struct peer *peer)
{
	size_t length = 0;
	int turns = 0;

	while (length < sizeof(peer->line)) {
		ssize_t taken = take_byte(peer, &peer->line[length]);

		assert_int_not_equal(taken, 0);
		if (taken == 1 && peer->line[length++] == '\n') {
			peer->line[length - 1] = '\0';
			return peer->line;
		}
		if (taken < 0 && !turn(peer, &turns))
			break;
	}
	fail_msg("no line was heard");
	return NULL;
}

/* Nothing has been said, and some turns later nothing has. */
static void peer_hear_nothing(struct peer *peer)
{
	char byte;

	for (int turns = 0; turns < 3; turn(peer, &turns))
		assert_int_equal(take_byte(peer, &byte), -1);
}

/* The visitor has hung up. */
static void peer_hear_end(struct peer *peer)
{
	int turns = 0;
	char byte;

	while (take_byte(peer, &byte) < 0 && errno == EAGAIN)
		assert_true(turn(peer, &turns));
	close_fd(&peer->fd);
}

static void peer_hang_up(struct peer *peer)
{
	close_fd(&peer->fd);
}

/* Greets the visitor and takes the introduction. */
static void peer_greet(struct peer *peer)
{
	peer_accept(peer);
	peer_say(peer, GREETING);
	assert_string_equal(peer_hear(peer), INTRODUCTION);
	peer_say(peer, "{\"return\": {}, \"id\": 1}\r\n");
}
