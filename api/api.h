// SPDX-License-Identifier: Apache-2.0
/*
 * The API: what the fronts call. One request in, one response out; a WebSocket upgrade is asked about first.
 */
#pragma once

#include "api/request.h"
#include "api/response.h"

#include <stdbool.h>

struct events;
struct instances;
struct log_screen;
struct operations;
struct shot;

struct api {
	struct instances *instances;
	struct operations *operations;
	struct events *events;
	struct shot *shots;         /* screenshots that clients wait for; NULL at first */
	struct log_screen *screens; /* of text, likewise; the first is being drawn */
};

/*
 * Answers `request`: finds the route, calls its handler, turns errors into LXD's. The response is filled in on return
 * unless it says `deferred`; then `response->complete` is called once, later, or the front calls `response->cancelled`
 * when the client leaves. Never fails: without memory the answer is a 500 with no body.
 */
void api_handle(struct api *api, struct request *request, struct response *response);

/*
 * Offers a GET with a WebSocket handshake. If it is for a socket that may be opened (path known, secret right,
 * requestor right), `fd` is consumed and true returned. Otherwise false: the fd stays the caller's, who sends the
 * request through api_handle(), which says what was wrong. Only path, query, method and identity of the request are
 * looked at.
 */
bool api_upgrade(struct api *api, struct request *request, int fd);
