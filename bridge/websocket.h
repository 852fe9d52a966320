// SPDX-License-Identifier: Apache-2.0
/*
 * WebSocket connections (RFC 6455, server side) on the daemon's loop. bridge/websocket.c is the only user of
 * libwebsockets; what is surprising about that library stays in there.
 *
 * Life: websockets_adopt() takes an accepted fd whose request head is still unread in the socket (it was peeked at),
 * and has been found fit for an upgrade. Then `open` once, `message` and `writable` any number of times, `closed`
 * exactly once, whatever happened (also when `open` never came). After `closed` the websocket is gone. Callbacks may
 * call any function here on their own websocket, websocket_close() included: it only asks, `closed` comes later, from
 * the loop. No callback comes from within websockets_adopt(), and of a closing connection none but `closed`.
 *
 * Sending is by scratch: the engine lends one buffer with room for the frame header in front; a sender that finds
 * websocket_ready() fills it and sends it, at once, without a further copy or allocation.
 */
#pragma once

#include "util/clients.h"
#include "util/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define WEBSOCKET_SCRATCH_SIZE (64 * 1024)

enum websocket_kind {
	WEBSOCKET_BINARY,
	WEBSOCKET_TEXT,
};

struct websockets; /* the engine: one per daemon */
struct websocket;  /* one connection */

struct websocket_handler {
	/* The 101 has been sent; sending is allowed from here on. */
	void (*open)(struct websocket *websocket, void *user);
	/*
	 * A piece of a message, in order. A message larger than the engine's receive buffer, or fragmented, comes in
	 * several pieces: `first` and `last` mark its ends. An empty message comes once, with length 0. `data` is valid
	 * during the call.
	 */
	void (*message)(struct websocket *websocket, void *user, enum websocket_kind kind, const void *data,
			size_t length, bool first, bool last);
	/* Asked for by websocket_want_write(), once per request: websocket_ready() is true now. */
	void (*writable)(struct websocket *websocket, void *user);
	/*
	 * The connection is gone; `websocket` is not to be used after this returns. `code` is the peer's close code:
	 * 1005 for an empty Close frame, 1006 where the connection ended without one (RFC 6455 section 7.1.5).
	 */
	void (*closed)(struct websocket *websocket, void *user, unsigned int code);
};

struct websockets_config {
	size_t receive_size;    /* bytes of the receive buffer; also the largest piece given to `message` */
	unsigned int handshake; /* seconds that an upgrade may take */
	unsigned int ping; /* milliseconds between the pings of a connection over TCP; 0: none. Others get none ever */
	struct clients *clients; /* connections are counted in and out here; its limits hold; borrowed */
};

/* Creates the engine on `loop`. -EIO if libwebsockets will not start (its libuv plug-in is a package of its own). */
int websockets_create(struct websockets **engine, uv_loop_t *loop, const struct websockets_config *config);

/*
 * Closes what is open (each gets its `closed`) and frees the engine. To be called from outside loop callbacks, after
 * uv_stop() and before uv_loop_close(); runs the loop for a few turns itself.
 */
void websockets_destroy(struct websockets *engine);

/*
 * Serves `fd` of `identity`'s, which is consumed whatever the result. A message beyond limits.message_size ends the
 * connection with 1009. `handler` must outlive the connection. 0 with the connection in
 * `*websocket`, or -errno without any callback having been or going to be called.
 */
int websockets_adopt(struct websockets *engine, int fd, const struct identity *identity,
		     const struct websocket_handler *handler, void *user, struct websocket **websocket);

/* The connection's socket, to ask the kernel about (SIOCOUTQ). Not to be read, written or closed. */
int websocket_fd(const struct websocket *websocket);

/*
 * Whether a message sent now would go to the kernel at once: the handshake is done (`open` may have yet to be told),
 * nothing is queued, the socket has room. One system call.
 */
bool websocket_ready(struct websocket *websocket);

/*
 * Whether a message sent now would be taken, by the kernel or, what that has no room for, by the engine, which then has
 * to allocate. For who would rather keep the connection's buffer full than be asked again for each message.
 */
bool websocket_accepts(const struct websocket *websocket);

/* The engine's scratch: WEBSOCKET_SCRATCH_SIZE bytes to be filled before websocket_send_scratch(). */
void *websocket_scratch(struct websocket *websocket);

/*
 * Sends the first `length` bytes of the scratch as one message. Only when websocket_ready(). Bytes that the kernel does
 * not take at once are kept by the engine (at most one message); -EAGAIN, and nothing sent, while it does. -EPIPE if
 * the connection is closing or failing: `closed` follows.
 */
int websocket_send_scratch(struct websocket *websocket, enum websocket_kind kind, size_t length);

/* Copies `data` (at most WEBSOCKET_SCRATCH_SIZE bytes) into the scratch and sends it as above. */
int websocket_send(struct websocket *websocket, enum websocket_kind kind, const void *data, size_t length);

/* Calls `writable` once, as soon as websocket_ready() holds. */
void websocket_want_write(struct websocket *websocket);

/*
 * Stops (true) or resumes reading from the peer: the kernel's buffer fills and the peer blocks. One piece that was
 * already read may still be delivered after pausing. Pings and closes are not seen while paused.
 */
void websocket_pause(struct websocket *websocket, bool paused);

/* Sends a ping when the socket has room. Pongs are swallowed. */
void websocket_ping(struct websocket *websocket);

/*
 * Ends the connection after what was sent: a Close frame with `code` and `reason` (code 0: an empty payload, which
 * LXD's web client takes as the one clean end; reason NULL: none, longer than 123 bytes: cut), then the socket once the
 * peer has answered or after a second. Where the engine still keeps bytes of a message, they have five seconds to leave
 * before that. A connection whose handshake is not done is merely closed. Called before `open`, there will be no
 * `open`. A second call does nothing.
 */
void websocket_close(struct websocket *websocket, unsigned int code, const char *reason);
