// SPDX-License-Identifier: Apache-2.0
/*
 * The front door: accepts on the unix socket, peeks at each request's head and hands the connection on. A WebSocket
 * handshake that the API takes goes with its bytes unread to the API (and from there to the WebSocket engine); all the
 * rest goes to the HTTP server, so that every refusal is the API's.
 */
#pragma once

#include "api/api.h"
#include "daemon/http.h"
#include "util/clients.h"
#include "util/error.h"
#include "util/identity.h"

#include <uv.h>

struct listener;

struct listener_config {
	const char *path;        /* of the socket, at most 107 bytes */
	const char *group;       /* may connect as well as the owner; NULL: nobody else */
	struct clients *clients; /* who is connected, and the limits of that; borrowed */
	int inherited; /* a socket that listens already and stays its maker's, consumed; 0: to be made at `path` */
};

/*
 * Listens from now on, with the socket's mode 0660, or 0600 without a group. A socket left behind by a daemon that died
 * is replaced. `api` and `http` must outlive the listener. -EADDRINUSE: somebody answers there; -EEXIST: it is no
 * socket; -ENAMETOOLONG; -ENOENT: no such directory or group.
 */
int listener_create(struct listener **listener, uv_loop_t *loop, struct api *api, struct http *http,
		    const struct listener_config *config, struct error *error);

/*
 * Serves `fd`, a connected stream socket of `identity`'s. It is consumed and made nonblocking. The way in for every
 * kind of listener.
 */
void front_door(struct listener *listener, int fd, const struct identity *identity);

/*
 * Stops accepting, removes the socket and closes the connections whose request is not yet known. The memory goes when
 * the loop has run the close callbacks. NULL is allowed.
 */
void listener_destroy(struct listener *listener);
