// SPDX-License-Identifier: Apache-2.0
/* What a client says on a WebSocket, made up. */
#pragma once

#include "tests/live/random.h"
#include "util/buffer.h"

enum socket_kind {
	SOCKET_DATA,
	SOCKET_CONTROL,
	SOCKET_EVENTS,
};

/* Appends a proper frame or message, whole: data, resizes, pings, fragments with pings between, by the kind of socket.
 */
void frames_make(struct random *random, enum socket_kind kind, struct buffer *out);

/* Appends one that is wrong in some way, or only its begin. */
void frames_break(struct random *random, struct buffer *out);

/* Appends one frame. `how`: its first byte. */
void frame_put(struct random *random, unsigned int how, const void *payload, size_t length, struct buffer *out);

#define FRAME_LAST 0x80
#define FRAME_TEXT 0x81
#define FRAME_BINARY 0x82
#define FRAME_CLOSING 0x88
#define FRAME_PING 0x89
