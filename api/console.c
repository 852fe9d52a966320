// SPDX-License-Identifier: Apache-2.0
#include "api/body.h"
#include "api/handlers.h"
#include "api/range.h"
#include "instances/instance.h"
#include "instances/session.h"
#include "operations/events.h"
#include "operations/operation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The body of POST: api.InstanceConsolePost, with Incus' `force`. */
struct console_request {
	int64_t width, height;
	const char *type;
	bool force;
};

static int decode(const struct request *request, struct console_request *wanted, json_t **document, struct error *error)
{
	const struct body_field fields[] = {
		{"width", BODY_INTEGER, &wanted->width},
		{"height", BODY_INTEGER, &wanted->height},
		{"type", BODY_STRING, &wanted->type},
		{"force", BODY_BOOLEAN, &wanted->force},
		{0},
	};
	int r;

	/* LXD looks at the name before the body, and at the body before it looks for the instance. */
	if (strchr(request->parameters[0], '/'))
		return error_set(error, -EINVAL, "Invalid instance name");
	r = body_decode(request, BODY_WHOLE, "InstanceConsolePost", fields, document, error);
	if (r < 0)
		return r;
	if (!*wanted->type)
		wanted->type = "console";
	if (strcmp(wanted->type, "console") != 0 && strcmp(wanted->type, "vga") != 0)
		return error_set(error, -EINVAL, "Unknown console type \"%s\"", wanted->type);
	return 0;
}

static int check(const struct instance *instance, const struct console_request *wanted, struct error *error)
{
	if (strcmp(wanted->type, "vga") == 0)
		return error_set(error, -EINVAL,
				 instance->row.type == INSTANCE_CONTAINER
					 ? "VGA console is only supported by virtual machines"
					 : "The graphical console of virtual machines is not supported yet");
	if (!instance_running(instance))
		return error_set(error, -EINVAL, "Instance is not running");
	if (instance->status == INSTANCE_FROZEN)
		return error_set(error, -EINVAL, "Instance is frozen");
	return 0;
}

/* LXD applies a size only if both are positive, and casts it: 65536 becomes 0, which no terminal has. */
static uint16_t clamp(int64_t size)
{
	return size > 0 && size <= UINT16_MAX ? (uint16_t)size : 0;
}

/*
 * `lxc start --console` starts and attaches from one process, and its user wants to see the boot from the first byte.
 * Other clients that do both, a proxy in front of a web page for one, print the log themselves.
 */
static bool is_command_line(const struct request *request)
{
	const char *agent = request->header(request, "User-Agent");

	return agent && (strncmp(agent, "LXD ", 4) == 0 || strncmp(agent, "Incus ", 6) == 0);
}

int console_post(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct console_request wanted = {.type = ""};
	json_auto_t *document = NULL;
	struct operation *operation;
	struct session_config config;
	struct instance *instance;
	int r;

	r = decode(request, &wanted, &document, error);
	if (r == 0)
		r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = check(instance, &wanted, error);
	if (r < 0)
		return r;
	config = (struct session_config){
		.width = clamp(wanted.width),
		.height = clamp(wanted.height),
		.force = wanted.force,
		.from_boot = is_command_line(request),
		.requestor = request->identity,
	};
	r = session_create(instance, &config, &operation, error);
	return r < 0 ? r : response_async(response, operation_json(operation, &request->identity));
}

/* The time of the log's last byte, as HTTP writes it (RFC 9110 section 5.6.7). */
static int add_last_modified(struct response *response, int64_t written_at)
{
	time_t seconds = (time_t)(written_at / 1000000000);
	char text[64];
	struct tm parts;

	if (!written_at)
		return 0;
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &parts));
	return response_header(response, "Last-Modified", "%s", text);
}

/* Incus' `type`: the log of the text console. Of a container it gives that for `vga`, too. */
static int check_type(const struct request *request, const struct instance *instance, struct error *error)
{
	const char *type = request_query(request, "type");

	if (!type || !*type || strcmp(type, "log") == 0)
		return 0;
	if (strcmp(type, "vga") == 0)
		return instance->row.type == INSTANCE_CONTAINER
			       ? 0
			       : error_set(error, -EINVAL,
					   "The graphical console of virtual machines is not supported yet");
	return error_set(error, -EIO, "Invalid value for type parameter: %s", type);
}

/* The log as it is now, in one copy: an answer does not change, however slowly it is then read. Consumed by the caller.
 */
static int copy_log(const struct ring *ring, char **log, size_t *size)
{
	uint64_t offset = ring_tail(ring), lost;

	*size = (size_t)(ring_head(ring) - offset);
	*log = malloc(*size + 1);
	if (!*log)
		return -ENOMEM;
	*size = ring_read(ring, &offset, *log, *size, &lost);
	return 0;
}

/* Cuts the log to the part that a Range header asks for. */
static int cut(const struct request *request, struct response *response, char *log, size_t *size)
{
	size_t from, length, whole = *size;
	int r = range_parse(request->header(request, "Range"), whole, &from, &length);

	if (r == -ERANGE) {
		*size = 0;
		response->status = 416;
		return response_header(response, "Content-Range", "bytes */%zu", whole);
	}
	if (r == 0)
		return 0;
	memmove(log, log + from, length);
	*size = length;
	response->status = 206;
	return response_header(response, "Content-Range", "bytes %zu-%zu/%zu", from, from + length - 1, whole);
}

static int answer_log(const struct request *request, struct response *response, const struct ring *ring)
{
	char *log;
	size_t size;
	int r = copy_log(ring, &log, &size);

	if (r < 0)
		return r;
	r = response_bytes(response, "application/octet-stream", log, size);
	if (r == 0)
		r = cut(request, response, log, &response->length);
	if (r == 0)
		r = response_header(response, "Accept-Ranges", "bytes");
	if (r == 0)
		r = response_header(response, "Content-Disposition", "inline;filename=");
	if (r == 0)
		r = response_header(response, "X-Content-Type-Options", "nosniff");
	return r < 0 ? r : add_last_modified(response, ring_written_at(ring));
}

int console_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	int r;

	r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = check_type(request, instance, error);
	if (r == 0)
		r = answer_log(request, response, console_ring(instance->console));
	if (r == 0 && instance_running(instance))
		events_lifecycle(api->events, "instance-console-retrieved", instance->row.name, &request->identity,
				 NULL);
	return r;
}

int console_delete(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	int r;

	r = find_instance(api, request, &instance, error);
	if (r == -ENOENT)
		return error_set(error, r,
				 "Failed to fetch instance \"%.64s\" in project \"%.64s\": Instance not found",
				 request->parameters[0],
				 request_query(request, "project") ? request_query(request, "project") : "default");
	if (r < 0)
		return r;
	r = console_clear(instance->console);
	if (r < 0)
		return error_set(error, -EIO, "The console's log could not be emptied: %s", strerror(-r));
	events_lifecycle(api->events, "instance-console-reset", instance->row.name, &request->identity, NULL);
	return response_sync(response, NULL);
}
