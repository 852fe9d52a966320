// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP server: reads requests from connections, has the API answer them, and sends the answers. http.c is the only
 * user of libmicrohttpd; what is surprising about that library stays in there. Connections are kept alive, requests
 * may be pipelined, bodies chunked. Every method and path goes to the API; only what is no proper request is refused
 * here: 400 (no Host, a target that cannot be parsed), 408 (a head or a body that does not end), 413 (one beyond
 * limits.body_size), 431 (a head beyond limits.head_size), 501 (a transfer coding other than chunked), 503 (too many
 * bodies, or answers, at once).
 */
#pragma once

#include "api/api.h"
#include "util/clients.h"
#include "util/identity.h"

#include <uv.h>

struct http;

/*
 * -ENOMEM, or -EIO if libmicrohttpd will not start. `api` and `clients`, whose limits hold here, must outlive the
 * server's last callback. limits.idle_timeout is libmicrohttpd's affair, which takes what it is now.
 */
int http_create(struct http **http, uv_loop_t *loop, struct api *api, struct clients *clients);

/* Serves a connected stream socket of `identity`'s, which is consumed whatever happens. Not from within api_handle().
 */
void http_add(struct http *http, int fd, const struct identity *identity);

/*
 * Closes all connections; handlers of deferred responses get their `cancelled`. Not from within a callback of the
 * loop's; the memory goes when the loop has run the close callbacks. NULL is allowed.
 */
void http_destroy(struct http *http);
