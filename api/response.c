// SPDX-License-Identifier: Apache-2.0
#include "api/response.h"

#include "util/cleanup.h"
#include "util/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The edge: where an errno becomes an HTTP status. What is not here is 500. */
static const struct {
	int code;
	unsigned int status;
} statuses[] = {
	{-EINVAL, 400}, {-EBUSY, 400},  {-EALREADY, 400}, {-EPERM, 403},  {-EACCES, 403},   {-ENOENT, 404},
	{-EEXIST, 409}, {-ESTALE, 412}, {-ENOSYS, 501},   {-EAGAIN, 503}, {-EMSGSIZE, 413}, {-EOPNOTSUPP, 400},
};

static unsigned int status_of(int code)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].code == code)
			return statuses[i].status;
	return 500;
}

/* Sets a JSON body with the end that Go's encoder gives it. Consumes `document`. */
static int set_json(struct response *response, unsigned int status, json_t *document, const char *end)
{
	cleanup_free char *text = document ? json_text(document, JSON_COMPACT) : NULL;
	char *body;
	int length;

	json_decref(document);
	if (!text)
		return -ENOMEM;
	length = asprintf(&body, "%s%s", text, end);
	if (length < 0)
		return -ENOMEM;
	free(response->body);
	response->body = body;
	response->length = (size_t)length;
	response->status = status;
	return response_header(response, "Content-Type", "application/json");
}

int response_sync(struct response *response, json_t *metadata)
{
	return set_json(response, 200,
			json_pack("{s:s, s:s, s:i, s:s, s:i, s:s, s:o}", "type", "sync", "status", "Success",
				  "status_code", 200, "operation", "", "error_code", 0, "error", "", "metadata",
				  metadata),
			"\n");
}

int response_empty(struct response *response)
{
	return response_sync(response, json_object());
}

int response_sync_etag(struct response *response, json_t *metadata, const char *etag)
{
	int r = response_sync(response, metadata);

	return r < 0 ? r : response_header(response, "Etag", "\"%s\"", etag);
}

int response_async(struct response *response, json_t *operation)
{
	char path[128];
	int r;

	snprintf(path, sizeof(path), "/1.0/operations/%s", json_string_value(json_object_get(operation, "id")));
	r = set_json(response, 202,
		     json_pack("{s:s, s:s, s:i, s:s, s:i, s:s, s:o}", "type", "async", "status", "Operation created",
			       "status_code", 100, "operation", path, "error_code", 0, "error", "", "metadata",
			       operation),
		     "\n");
	return r < 0 ? r : response_header(response, "Location", "%s", path);
}

/* Bytes that are not UTF-8 may have come with the request, or be what was cut: all but ASCII becomes '?' then. */
static json_t *message_of(const char *text)
{
	cleanup_free char *copy = NULL;
	json_t *message = json_string(text);

	if (message)
		return message;
	copy = strdup(text);
	for (char *at = copy; at && *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	return copy ? json_string(copy) : NULL;
}

void response_error_status(struct response *response, unsigned int status, const char *text)
{
	json_t *message = message_of(text);

	response_finish(response);
	response->length = 0; /* whatever a handler had begun to say */
	response->status = status;
	if (set_json(response, status,
		     json_pack("{s:s, s:s, s:i, s:s, s:i, s:o, s:n}", "type", "error", "status", "", "status_code", 0,
			       "operation", "", "error_code", status, "error", message, "metadata"),
		     "\n\n") == 0)
		response_header(response, "X-Content-Type-Options", "nosniff");
}

void response_error(struct response *response, const struct error *error)
{
	response_error_status(response, status_of(error->code), error_text(error));
}

int response_bytes(struct response *response, const char *content_type, char *body, size_t length)
{
	free(response->body);
	response->status = 200;
	response->body = body;
	response->length = length;
	return response_header(response, "Content-Type", "%s", content_type);
}

int response_streamed(struct response *response, const char *content_type, uint64_t length,
		      const struct response_stream *stream, void *context)
{
	int r = response_bytes(response, content_type, NULL, length);

	if (r < 0)
		return r;
	response->stream = stream;
	response->context = context;
	return 0;
}

void response_more(struct response *response)
{
	response->more(response);
}

int response_header(struct response *response, const char *name, const char *format, ...)
{
	struct response_header *header = &response->headers[response->header_count];
	va_list args;
	int length;

	if (response->header_count == RESPONSE_HEADERS_MAX)
		return -ENOSPC;
	va_start(args, format);
	length = vasprintf(&header->value, format, args);
	va_end(args);
	if (length < 0)
		return -ENOMEM;
	header->name = name;
	response->header_count++;
	return 0;
}

void response_complete(struct response *response)
{
	response->deferred = false;
	response->cancelled = NULL;
	response->complete(response);
}

void response_finish(struct response *response)
{
	free(response->body);
	response->body = NULL;
	if (response->stream)
		response->stream->finished(response);
	response->stream = NULL;
	while (response->header_count)
		free(response->headers[--response->header_count].value);
}
