// SPDX-License-Identifier: Apache-2.0
/*
 * A pump joins a WebSocket with a stream socket and passes bytes both ways. Either side is read only while the other
 * takes, so that it holds at most one piece in each direction whatever the peers do: the kernel's buffers fill, and
 * who sends too fast blocks.
 *
 * Messages from the WebSocket are bytes, whatever their bounds and kind, but for an empty text message, which is
 * LXD's end mark: the client is done, and the pump ends. To the WebSocket go binary messages. When the stream ends,
 * what it sent is delivered, then LXD's end mark and an empty Close frame.
 *
 * A client that goes while it is paused (before the join, or because the stream does not take) is not seen to go. The
 * stream's end and pump_close() are never held up by that.
 */
#pragma once

#include "bridge/websocket.h"

struct pump;

struct pump_handler {
	/*
	 * The client's bytes, in order, before they go on; as long as this returns true. May be NULL. Not to call
	 * pump_close() from.
	 */
	bool (*input)(struct pump *pump, void *user, const void *data, size_t length);
	/*
	 * The client does not take what the stream has for it, or takes it again. May be NULL. Not to call pump_close()
	 * from.
	 */
	void (*blocked)(struct pump *pump, void *user, bool blocked);
	/* Bytes have gone to the client, or come from it. May be NULL. Not to call pump_close() from. */
	void (*passed)(struct pump *pump, void *user, size_t sent, size_t received);
	/* Both sides are gone, and so is the pump when this returns. Exactly once, never from within pump_create(). */
	void (*closed)(struct pump *pump, void *user);
};

/*
 * Adopts `fd`, an unread WebSocket handshake of `identity`'s, which is consumed whatever the result. The client is not
 * read until the pump is joined. -errno, without any callback then.
 */
int pump_create(struct pump **pump, struct websockets *engine, uv_loop_t *loop, int fd, const struct identity *identity,
		const struct pump_handler *handler, void *user);

/*
 * Joins it with `fd`, a connected, non-blocking stream socket, which is consumed whatever the result. Once. -errno:
 * nothing is joined; -EPIPE if the pump is ending, by pump_close() or the client's end mark.
 */
int pump_join(struct pump *pump, int fd);

/* How much of what was sent the client has not taken (unix(7), SIOCOUTQ): changes while it takes anything. */
int pump_unsent(const struct pump *pump);

/*
 * Ends it: the stream at once, the WebSocket as websocket_close() does; where `code` is 0, with LXD's end mark before.
 * `closed` follows. A second call does nothing.
 */
void pump_close(struct pump *pump, unsigned int code, const char *reason);
