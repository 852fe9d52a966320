// SPDX-License-Identifier: Apache-2.0
/*
 * What a handler answers: LXD's envelopes (sync, async, error), or raw bytes. The front sends it when the handler has
 * returned, or, if the handler deferred it, when the handler's own event calls response_complete().
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RESPONSE_HEADERS_MAX 8
#define RESPONSE_LENGTH_UNKNOWN UINT64_MAX

struct response_header {
	const char *name; /* static */
	char *value;      /* owned */
};

struct response;

/* A body that is made while it is sent, at the pace at which the client takes it. */
struct response_stream {
	/*
	 * Fills in up to `size` bytes and returns how many; 0: that was all. -EAGAIN: there is nothing now, and
	 * response_more() will be called. Another -errno: it cannot go on, and the connection is closed.
	 */
	ssize_t (*read)(struct response *response, char *data, size_t size);
	/* Called once: all has been sent, or the client has left. To release `context`. */
	void (*finished)(struct response *response);
};

struct response {
	unsigned int status;
	char *body; /* owned, malloc'ed; the front takes it (and sets NULL) */
	size_t length;
	struct response_header headers[RESPONSE_HEADERS_MAX];
	size_t header_count;

	bool deferred;                                /* the handler will call response_complete() later */
	void (*complete)(struct response *response);  /* the front's: send it now */
	void (*cancelled)(struct response *response); /* the handler's: the client has left; forget this response */
	const struct response_stream *stream;         /* NULL: the body is `body` */
	size_t held;                             /* the handler's: bytes that the stream keeps until it is finished */
	void (*more)(struct response *response); /* the front's, for response_more() */
	void *context;                           /* the handler's */
};

/* 200 {"type":"sync",...}. `metadata` is consumed; NULL: there was no memory for it. */
int response_sync(struct response *response, json_t *metadata);

/* The same with {} for metadata. */
int response_empty(struct response *response);

/* As above with LXD's Etag header, `etag` unquoted hex. */
int response_sync_etag(struct response *response, json_t *metadata, const char *etag);

/* 202 {"type":"async",...} with Location. `operation` (its JSON) is consumed; its "id" gives the path. */
int response_async(struct response *response, json_t *operation);

/* {"type":"error",...}: the edge where -errno becomes an HTTP status. */
void response_error(struct response *response, const struct error *error);

/* The same with a status of one's own. */
void response_error_status(struct response *response, unsigned int status, const char *text);

/* Raw bytes; `body` is malloc'ed and consumed. `content_type` is static. */
int response_bytes(struct response *response, const char *content_type, char *body, size_t length);

/*
 * A body of `length` bytes, or RESPONSE_LENGTH_UNKNOWN, that `stream` (static) makes. From a 0 on, `context` is
 * released by its finished(), whatever happens. A client may take as long as it likes over a body of unknown length,
 * unless it is made of what the daemon holds for it (`held`, to be set behind this): that counts as an answer that is
 * under way.
 */
int response_streamed(struct response *response, const char *content_type, uint64_t length,
		      const struct response_stream *stream, void *context);

/* After a read() that said -EAGAIN: there may be more now. From the loop, not from within read(). */
void response_more(struct response *response);

/* Adds a header; the value is formatted. -ENOSPC beyond RESPONSE_HEADERS_MAX. */
int response_header(struct response *response, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* To be called once for a deferred response, after it has been filled in, from the loop and not from the handler. */
void response_complete(struct response *response);

/* Frees what is still owned. */
void response_finish(struct response *response);
