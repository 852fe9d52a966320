// SPDX-License-Identifier: Apache-2.0
/*
 * A request as handlers see it: no sockets, no HTTP library. The front (daemon/http.c, daemon/listener.c) fills it in
 * and owns everything in it; it is valid until the response is complete.
 */
#pragma once

#include "util/error.h"
#include "util/identity.h"

#include <jansson.h>
#include <stddef.h>
#include <sys/uio.h>

#define REQUEST_PARAMETERS_MAX 2
#define REQUEST_QUERY_MAX 32

struct request_pair {
	char *name, *value; /* %-decoded; value "" where there is no '=' */
};

struct request {
	const char *method;                             /* "GET"; as the client wrote it */
	char *path;                                     /* without the query, not decoded */
	char *pattern_space;                            /* private to the router */
	const char *parameters[REQUEST_PARAMETERS_MAX]; /* what matched the {}s of the route's pattern, %-decoded */
	struct request_pair query[REQUEST_QUERY_MAX];
	size_t query_count;
	struct identity identity;
	const void *body;
	size_t body_length;
	const char *(*header)(const struct request *request, const char *name); /* NULL where absent; any case */
	void *front;                                                            /* the front's own */
};

/*
 * Splits an HTTP request target ("/1.0/events?type=a%2Cb&x", or absolute: http://host/path) into path and query. A
 * dangling '?' and empty pairs are allowed; '+' in the query is a blank. -EINVAL: does not begin with '/', a blank or
 * control character, bad %-escape or %00 in the query, too many pairs; -ENOMEM.
 */
int request_set_target(struct request *request, const char *target);

/* Frees what request_set_target() and the router made. A zeroed request is allowed. */
void request_finish(struct request *request);

/* A query value, or NULL. */
const char *request_query(const struct request *request, const char *name);

/* The query's `recursion`: 0, 1 or 2, which is also what more is. 0 where it is absent or anything but digits. */
unsigned int request_recursion(const struct request *request);

/*
 * Whether a change may be made to what has this tag: LXD compares what If-Match holds, its quotes stripped; absent
 * means no check, "*" means nothing special. -ESTALE in LXD's words.
 */
int request_check_etag(const struct request *request, const char *etag, struct error *error);

/* %-decodes in place. -EINVAL for a broken escape or one that gives NUL. */
int request_decode(char *text);
