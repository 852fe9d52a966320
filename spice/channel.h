// SPDX-License-Identifier: Apache-2.0
/*
 * One connection of a viewer: a WebSocket joined with a connection of its own to the machine's SPICE server, which
 * listens on the socket `spice` in the machine's private directory.
 */
#pragma once

#include "bridge/websocket.h"

#include <stdbool.h>
#include <uv.h>

#define SPICE_SOCKET "spice"

/* In QEMU's environment: a new viewer does not throw out who is there. Experimental: see consoled.viewers in README. */
#define SPICE_MANY_VIEWERS "SPICE_DEBUG_ALLOW_MC=1"

struct spice_channel;

struct spice_channel_handler {
	/*
	 * It is a viewer's main channel, its first: a viewer has come. The server does not know yet. Not to close this
	 * channel from.
	 */
	void (*came)(struct spice_channel *channel, void *user);
	/* Bytes have gone to the client, or come from it. May be NULL. Not to close this channel from. */
	void (*passed)(struct spice_channel *channel, void *user, size_t sent, size_t received);
	/*
	 * The connection is gone, and so is the channel when this returns. Exactly once, never from within
	 * spice_channel_create(). `main`: its viewer's main channel, which `came`: the viewer has left.
	 */
	void (*closed)(struct spice_channel *channel, void *user, bool main);
};

/*
 * Adopts `fd`, an unread WebSocket handshake of `identity`'s, which is consumed whatever the result, and connects it to
 * the SPICE server in `directory` (borrowed during the call). A server whose backlog is full is tried again for up to
 * five seconds, from the loop; who cannot be connected gets a Close frame 1011 that says why. A client that leaves
 * meanwhile is noticed at the end of that, as it is not read before. A client that takes nothing of what there is for
 * it for fifteen seconds gets 4002. -errno, without any callback then.
 */
int spice_channel_create(struct spice_channel **channel, struct websockets *engine, uv_loop_t *loop, int fd,
			 const struct identity *identity, int directory, const struct spice_channel_handler *handler,
			 void *user);

/* Ends it, as pump_close() does. `closed` follows. */
void spice_channel_close(struct spice_channel *channel, unsigned int code, const char *reason);

/* Whether there is a SPICE server in `directory`: its socket exists. Costs one system call. */
bool spice_present(int directory);
