// SPDX-License-Identifier: Apache-2.0
/*
 * A small blocking client of the console API over unix sockets, written apart from the daemon's code so that it cannot
 * share its mistakes. HTTP/1.1 with keep-alive, WebSocket (RFC 6455), and the same reader and writer for bytes without
 * frames, so that a session, a relay and a bare PTY are measured through one piece of code.
 *
 * Whatever fails ends the program with a message and status 1: a benchmark has nothing to go on with.
 */
#pragma once

#include "util/buffer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Nanoseconds of the monotonic clock. */
int64_t clock_now(void);

int unix_connect(const char *path);
int unix_listen(const char *path);
void write_all(int fd, const void *data, size_t length);

/* Forks `argv` on a new PTY of 80x24 and returns its master. */
int pty_spawn(char *const *argv, pid_t *pid);

/* --- HTTP --- */

struct http {
	int fd;
	struct buffer in;
	size_t used; /* bytes of `in` that belong to the last answer */
};

struct answer {
	int status;
	const char *body; /* until the next http_receive() */
	size_t length;
};

void http_open(struct http *http, const char *path);
void http_close(struct http *http);
void http_send(struct http *http, const char *method, const char *target, const char *body);
void http_receive(struct http *http, struct answer *answer);

/* One request; an error envelope ends the program. `body` is consumed, NULL: none. The caller owns the metadata. */
json_t *http_call(struct http *http, const char *method, const char *target, json_t *body);

/* As http_call() for what answers with an operation, and waits for its end. An end other than Success is an error. */
void http_operate(struct http *http, const char *method, const char *target, json_t *body);

/* Waits until an operation has ended, with Success unless it `may_fail`. */
void http_wait(struct http *http, const char *operation, bool may_fail);

/* --- a stream of bytes, in frames or not --- */

#define LINK_BUFFER (64 * 1024)

struct link {
	int fd;      /* -1: closed */
	int to;      /* where to write: `fd`, but of a pair of FIFOs the other */
	bool framed; /* WebSocket; otherwise the bytes as they are */
	bool ended;
	uint64_t frame; /* bytes of the present frame still to come */
	unsigned char *buffer;
	size_t begin, end;
};

#define LINK_NONE                  \
	{                          \
		.fd = -1, .to = -1 \
	}

/* `fd` is consumed. */
void link_open(struct link *link, int fd);

/* The same for one-way streams. */
void link_open_pair(struct link *link, int from, int to);

/* Opens a connection and upgrades it to a WebSocket. */
void link_upgrade(struct link *link, const char *path, const char *target);

/* Opens a connection and sends a GET. What can be read is the answer's body, with the marks of its chunks in it. */
void link_follow(struct link *link, const char *path, const char *target);

void link_close(struct link *link);

/* Whether something can be read within `milliseconds` (negative: wait for ever). */
bool link_wait(struct link *link, int milliseconds);

/* Blocks until there is payload, and returns how much; 0: the other side has ended. Valid until the next call. */
size_t link_peek(struct link *link, const unsigned char **data);

/* Takes `length` bytes of what link_peek() has shown. */
void link_consume(struct link *link, size_t length);

/* Sends at most LINK_BUFFER bytes, in a frame of their own. */
void link_write(struct link *link, const void *data, size_t length);

/* Sends a Close frame with code 1000. */
void link_say_goodbye(struct link *link, const char *reason);
