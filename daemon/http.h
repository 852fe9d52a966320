// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP server: reads requests from connections, has the API answer them, and sends the answers. http.c is the only
 * user of libmicrohttpd; what is surprising about that library stays in there. Connections are kept alive, requests
 * may be pipelined, bodies chunked. Every method and path goes to the API; only what is no proper request is refused
 * here: 400 (no Host, a target that cannot be parsed), 413 (a body larger than API_BODY_MAX), 431 (a head beyond some
 * 30 KiB), 501 (a transfer coding other than chunked).
 */
#pragma once

#include "api/api.h"
#include "util/identity.h"

#include <uv.h>

struct http;

struct http_limits {
	unsigned int connections; /* at once, those with a deferred response included; one more is closed */
	unsigned int timeout;     /* seconds without a byte moving; not while a response is deferred */
	size_t unsent;            /* bytes of answers that clients have yet to take; beyond, large ones are 503 */
};

/* -ENOMEM, or -EIO if libmicrohttpd will not start. `api` must outlive the server. */
int http_create(struct http **http, uv_loop_t *loop, struct api *api, const struct http_limits *limits);

/* Serves a connected stream socket of `identity`'s, which is consumed whatever happens. Not from within api_handle().
 */
void http_add(struct http *http, int fd, const struct identity *identity);

/* Answers 400 to bytes that are no request at all, and closes `fd`. */
void http_refuse(int fd);

/*
 * Closes all connections; handlers of deferred responses get their `cancelled`. Not from within a callback of the
 * loop's; the memory goes when the loop has run the close callbacks. NULL is allowed.
 */
void http_destroy(struct http *http);
