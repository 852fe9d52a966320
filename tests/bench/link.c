// SPDX-License-Identifier: Apache-2.0
/* The streams of client.h: WebSocket frames, or the bytes as they are. */
#include "tests/bench/client.h"
#include "util/cleanup.h"

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum opcode {
	OPCODE_CONTINUATION = 0,
	OPCODE_TEXT = 1,
	OPCODE_BINARY = 2,
	OPCODE_CLOSE = 8,
	OPCODE_PING = 9,
	OPCODE_PONG = 10,
};

void link_open_pair(struct link *link, int from, int to)
{
	*link = (struct link){.fd = from, .to = to, .buffer = malloc(LINK_BUFFER)};
	if (!link->buffer)
		err(1, NULL);
}

void link_open(struct link *link, int fd)
{
	link_open_pair(link, fd, fd);
}

void link_close(struct link *link)
{
	if (link->to != link->fd)
		close_fd(&link->to);
	close_fd(&link->fd);
	link->to = -1;
	free(link->buffer);
	link->buffer = NULL;
}

/* Moves what is left to the front of the buffer and reads behind it. false: the other side has ended. */
static bool link_fill(struct link *link)
{
	ssize_t n;

	memmove(link->buffer, link->buffer + link->begin, link->end - link->begin);
	link->end -= link->begin;
	link->begin = 0;
	do
		n = read(link->fd, link->buffer + link->end, LINK_BUFFER - link->end);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EIO && errno != ECONNRESET) /* EIO: the other side of a PTY has closed */
		err(1, "read");
	if (n <= 0) {
		link->ended = true;
		return false;
	}
	link->end += (size_t)n;
	return true;
}

static bool link_fill_to(struct link *link, size_t length)
{
	while (link->end - link->begin < length)
		if (!link_fill(link))
			return false;
	return true;
}

/* Sends a GET with `headers` on a new connection, and takes the head of the answer, which must have that status. */
static void link_get(struct link *link, const char *path, const char *target, const char *headers, const char *status)
{
	unsigned char *end;
	char request[512];
	int length =
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: unix.socket\r\n%s\r\n", target, headers);

	link_open(link, unix_connect(path));
	write_all(link->fd, request, (size_t)length);
	while (!(end = memmem(link->buffer, link->end, "\r\n\r\n", 4)))
		if (!link_fill(link))
			errx(1, "GET %s: no answer", target);
	if (strncmp((char *)link->buffer + strlen("HTTP/1.1 "), status, strlen(status)) != 0)
		errx(1, "GET %s: %.*s", target, (int)link->end, (char *)link->buffer);
	link->begin = (size_t)(end + 4 - link->buffer);
}

void link_upgrade(struct link *link, const char *path, const char *target)
{
	link_get(link, path, target,
		 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
		 "Sec-WebSocket-Version: 13\r\n",
		 "101 ");
	link->framed = true;
}

void link_follow(struct link *link, const char *path, const char *target)
{
	link_get(link, path, target, "", "200 ");
}

bool link_wait(struct link *link, int milliseconds)
{
	struct pollfd poller = {.fd = link->fd, .events = POLLIN};

	return link->begin < link->end || link->ended || poll(&poller, 1, milliseconds) > 0;
}

#define MASK UINT64_C(0x3d21fa373d21fa37) /* twice; it need not be a secret here */

/* Eight bytes at a time, so that the client is not what is measured. */
static void mask(unsigned char *to, const unsigned char *from, size_t length)
{
	uint64_t word;

	for (; length >= sizeof(word); to += sizeof(word), from += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, from, sizeof(word));
		word ^= MASK;
		memcpy(to, &word, sizeof(word));
	}
	word = 0;
	memcpy(&word, from, length);
	word ^= MASK;
	memcpy(to, &word, length);
}

/* A frame from the client: masked, as RFC 6455 5.3 demands. */
static void send_frame(int fd, enum opcode opcode, const void *data, size_t length)
{
	static const uint64_t key = MASK;
	unsigned char frame[14 + LINK_BUFFER];
	size_t head = 2, size = length < 126 ? 0 : length <= UINT16_MAX ? 2 : 8;

	if (length > LINK_BUFFER)
		errx(1, "a frame of %zu bytes", length);
	frame[0] = (unsigned char)(0x80 | opcode);
	frame[1] = (unsigned char)(0x80 | (size == 0 ? length : size == 2 ? 126 : 127));
	while (size > 0)
		frame[head++] = (unsigned char)(length >> 8 * --size);
	memcpy(frame + head, &key, 4);
	head += 4;
	mask(frame + head, data, length);
	write_all(fd, frame, head + length);
}

/* Takes a frame's head, whole control frames included. false: the stream has ended. */
static bool link_take_head(struct link *link)
{
	const unsigned char *head;
	enum opcode opcode;
	uint64_t length;
	size_t size = 2;

	if (!link_fill_to(link, 2))
		return false;
	head = link->buffer + link->begin;
	if (head[1] & 0x80)
		errx(1, "a masked frame from the server");
	opcode = head[0] & 0x0f;
	length = head[1];
	if (length >= 126) {
		size += length == 126 ? 2 : 8;
		if (!link_fill_to(link, size))
			return false;
		head = link->buffer + link->begin;
		length = 0;
		for (size_t i = 2; i < size; i++)
			length = length << 8 | head[i];
	}
	if (opcode >= OPCODE_CLOSE) {
		if (length > 125 || !link_fill_to(link, size + length))
			return false;
		if (opcode == OPCODE_PING)
			send_frame(link->to, OPCODE_PONG, link->buffer + link->begin + size, length);
		size += length;
		length = 0;
	}
	link->begin += size;
	link->frame = length;
	link->ended = opcode == OPCODE_CLOSE || (opcode == OPCODE_TEXT && length == 0); /* LXD's mark of the end */
	return !link->ended;
}

size_t link_peek(struct link *link, const unsigned char **data)
{
	size_t length;

	while (link->framed && link->frame == 0)
		if (link->ended || !link_take_head(link))
			return 0;
	if (link->begin == link->end && (link->ended || !link_fill(link)))
		return 0;
	*data = link->buffer + link->begin;
	length = link->end - link->begin;
	return link->framed && length > link->frame ? link->frame : length;
}

void link_consume(struct link *link, size_t length)
{
	link->begin += length;
	if (link->framed)
		link->frame -= length;
}

void link_write(struct link *link, const void *data, size_t length)
{
	if (link->framed)
		send_frame(link->to, OPCODE_BINARY, data, length);
	else
		write_all(link->to, data, length);
}

void link_say_goodbye(struct link *link, const char *reason)
{
	char body[2 + 123] = {1000 >> 8, (char)(1000 & 0xff)};

	send_frame(link->to, OPCODE_CLOSE, body, 2 + (size_t)snprintf(body + 2, sizeof(body) - 2, "%s", reason));
}
