// SPDX-License-Identifier: Apache-2.0
/* Requests, made up: every route of `consoled --routes`, with what belongs there and with what does not. */
#pragma once

#include "tests/live/random.h"
#include "util/buffer.h"

#include <stddef.h>

#define REQUEST_MAX (8 * 1024 * 1024)

/* The programs that requests may start and stop, live-0 and so on. What is called otherwise must never be started. */
#define PROGRAMS 5

#define KNOWN_MAX 64
#define SECRET_LENGTH 64

/* What answers have told. */
struct known {
	char operations[KNOWN_MAX][40];
	char paths[KNOWN_MAX][160];         /* of a session's socket, with its secret */
	size_t operation_count, path_count; /* ever; the places are used again */
};

struct routes {
	struct {
		char method[8];
		char pattern[64];
	} list[64];
	size_t count;
};

struct request {
	char method[8]; /* "HEAD" changes how the answer is read */
	bool attaches;  /* asks for a console: who gets one is to connect */
	bool patient;   /* the answer may take long, or never end */
};

/* Reads the routes that the daemon prints, one `METHOD PATTERN` a line. */
void routes_parse(struct routes *routes, const char *text);

/* Appends a request, whole, and proper as far as HTTP goes. */
void request_make(struct request *request, struct random *random, const struct routes *routes,
		  const struct known *known, struct buffer *out);

/* Appends the handshake for the path of a WebSocket. */
void request_upgrade(struct random *random, const char *path, struct buffer *out);

/* Changes some bytes: what comes of it may be anything. */
void request_mangle(struct random *random, struct buffer *out);

/* Appends formatted text. */
void put(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
