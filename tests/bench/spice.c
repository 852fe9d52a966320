// SPDX-License-Identifier: Apache-2.0
/*
 * A SPICE server that knows of the protocol only how a client begins (SpiceLinkHeader and SpiceLinkMess), and does as
 * it is told then: so that the way to a server is measured, and not QEMU. It serves on the bare socket, and in the
 * place of a machine's own.
 */
#include "tests/bench/bench.h"
#include "util/cleanup.h"

#include <endian.h>
#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the pattern --- */

#define PATTERN_PERIOD 65521 /* a prime, so that what is lost or moved in round numbers shows */

struct pattern {
	unsigned char bytes[PATTERN_PERIOD + SPICE_MESSAGE];
};

struct pattern *pattern_create(void)
{
	struct pattern *pattern = malloc(sizeof(*pattern));
	uint32_t state = 1;

	if (!pattern)
		err(1, NULL);
	for (size_t i = 0; i < sizeof(pattern->bytes); i++) {
		state = state * 1664525 + 1013904223;
		pattern->bytes[i] = i < PATTERN_PERIOD ? state >> 24 : pattern->bytes[i - PATTERN_PERIOD];
	}
	return pattern;
}

const unsigned char *pattern_at(const struct pattern *pattern, uint64_t position)
{
	return pattern->bytes + position % PATTERN_PERIOD;
}

/* --- the client's first words --- */

#define CHANNEL_DISPLAY 2

struct spice_request {
	char magic[4];
	uint32_t major, minor;
	uint32_t size; /* of what follows up to `length` */
	uint32_t connection;
	uint8_t channel;
	uint8_t task; /* in the place of the channel's number */
	uint32_t common_capabilities, channel_capabilities, capabilities_offset;
	uint64_t length;
} __attribute__((packed));

void spice_ask(struct link *link, enum spice_task task, uint64_t length)
{
	const size_t begin = offsetof(struct spice_request, connection), end = offsetof(struct spice_request, length);
	const struct spice_request request = {
		.magic = {'R', 'E', 'D', 'Q'},
		.major = htole32(2),
		.minor = htole32(2),
		.size = htole32(end - begin),
		.connection = htole32(1),
		.channel = CHANNEL_DISPLAY,
		.task = (uint8_t)task,
		.capabilities_offset = htole32(end - begin),
		.length = htole64(length),
	};

	link_write(link, &request, sizeof(request));
}

/* --- the server --- */

static void echo(int fd)
{
	unsigned char data[SPICE_MESSAGE];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		write_all(fd, data, (size_t)n);
}

/* Until the client has had enough. */
static void send_pattern(int fd, const struct pattern *pattern, uint64_t length)
{
	ssize_t n = 0;
	char end;

	for (uint64_t at = 0; at < length && n >= 0; at += (uint64_t)n)
		n = write(fd, pattern_at(pattern, at), length - at < SPICE_MESSAGE ? length - at : SPICE_MESSAGE);
	while (n >= 0 && read(fd, &end, 1) > 0)
		;
}

static void take_pattern(int fd, const struct pattern *pattern, uint64_t length)
{
	unsigned char data[SPICE_MESSAGE];
	ssize_t n;

	for (uint64_t at = 0; at < length; at += (uint64_t)n) {
		n = read(fd, data, sizeof(data));
		if (n <= 0 || memcmp(data, pattern_at(pattern, at), (size_t)n) != 0)
			return;
	}
	write_all(fd, "k", 1);
}

static void serve(int fd, const struct pattern *pattern)
{
	struct spice_request request;

	if (recv(fd, &request, sizeof(request), MSG_WAITALL) != sizeof(request) ||
	    memcmp(request.magic, "REDQ", 4) != 0)
		return;
	if (request.task == SPICE_SEND)
		send_pattern(fd, pattern, le64toh(request.length));
	else if (request.task == SPICE_TAKE)
		take_pattern(fd, pattern, le64toh(request.length));
	else
		echo(fd);
}

void spice_serve(const char *path)
{
	cleanup_free struct pattern *pattern = pattern_create();
	int listener = unix_listen(path);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			err(1, "accept");
		if (fork() == 0) {
			close(listener);
			serve(fd, pattern);
			_exit(0);
		}
		close(fd);
	}
}
