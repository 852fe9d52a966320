// SPDX-License-Identifier: Apache-2.0
#include "api/body.h"
#include "api/handlers.h"
#include "instances/history.h"
#include "instances/instance.h"
#include "instances/session.h"
#include "operations/events.h"
#include "operations/operation.h"
#include "util/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/param.h>

/* The body of POST: api.InstanceConsolePost, with Incus' `force` and what is our own. */
struct console_request {
	int64_t width, height;
	const char *type;
	bool force;
	const char *mode, *replay;
	bool notices;
	int64_t offset, scrollback; /* -1: not given */
};

/* Takes the place that `word` has among `words`, the first if it is empty. -1: it is none of them. */
static int choose(const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (!*word || strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

static const char *const types[] = {"console", "vga", NULL};
static const char *const modes[] = {"write", "watch", NULL};
static const char *const replays[] = {
	[SESSION_REPLAY_NONE] = "none", [SESSION_REPLAY_LOG] = "log", [SESSION_REPLAY_SCREEN] = "screen", NULL};

/* What LXD does not know of. */
static int check_additions(const struct console_request *wanted, const struct limits *limits, struct error *error)
{
	if (choose(wanted->mode, modes) < 0)
		return error_set(error, -EINVAL, "mode: one of write, watch, not \"%s\"", wanted->mode);
	if (strcmp(wanted->mode, "watch") == 0 && strcmp(wanted->type, "vga") == 0)
		return error_set(error, -EINVAL, "mode: watch: only of a text console");
	if (choose(wanted->replay, replays) < 0)
		return error_set(error, -EINVAL, "replay: one of none, log, screen, not \"%s\"", wanted->replay);
	if (wanted->offset < -1)
		return error_set(error, -EINVAL, "offset: a number of bytes, not %" PRId64, wanted->offset);
	if (wanted->offset >= 0 && *wanted->replay)
		return error_set(error, -EINVAL, "offset: is a replay of its own, and goes with no other");
	if (wanted->scrollback < -1 || wanted->scrollback > (int64_t)limits->scrollback)
		return error_set(error, -EINVAL, "scrollback: 0 to %" PRIu64 " lines (limits.scrollback)",
				 limits->scrollback);
	return 0;
}

static int decode(const struct api *api, const struct request *request, struct console_request *wanted,
		  json_t **document, struct error *error)
{
	const struct body_field fields[] = {
		{"width", BODY_INTEGER, &wanted->width},
		{"height", BODY_INTEGER, &wanted->height},
		{"type", BODY_STRING, &wanted->type},
		{"force", BODY_BOOLEAN, &wanted->force},
		{"mode", BODY_STRING, &wanted->mode},
		{"replay", BODY_STRING, &wanted->replay},
		{"notices", BODY_BOOLEAN, &wanted->notices},
		{"offset", BODY_INTEGER, &wanted->offset},
		{"scrollback", BODY_INTEGER, &wanted->scrollback},
		{0},
	};
	int r;

	/* LXD looks at the name before the body, and at the body before it looks for the instance. */
	if (strchr(request->parameters[0], '/'))
		return error_set(error, -EINVAL, "Invalid instance name");
	r = body_decode(request, BODY_WHOLE, "InstanceConsolePost", fields, document, error);
	if (r < 0)
		return r;
	if (choose(wanted->type, types) < 0)
		return error_set(error, -EINVAL, "Unknown console type \"%s\"", wanted->type);
	return check_additions(wanted, api->instances->limits, error);
}

static int check(const struct instance *instance, const struct console_request *wanted, struct error *error)
{
	uint64_t head = ring_head(console_ring(instance->console));

	if (strcmp(wanted->type, "vga") == 0 && instance->row.type == INSTANCE_CONTAINER)
		return error_set(error, -EINVAL, "VGA console is only supported by virtual machines");
	if (!instance_running(instance))
		return error_set(error, -EINVAL, "Instance is not running");
	if (instance->status == INSTANCE_FROZEN)
		return error_set(error, -EINVAL, "Instance is frozen");
	if (wanted->offset > 0 && (uint64_t)wanted->offset > head)
		return error_set(error, -EINVAL, "offset: the log ends at %" PRIu64, head);
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
	struct console_request wanted = {
		.type = "", .mode = "", .replay = "", .notices = true, .offset = -1, .scrollback = -1};
	const struct session_kind *kind;
	json_auto_t *document = NULL;
	struct operation *operation;
	struct session_config config;
	struct instance *instance;
	int r;

	r = decode(api, request, &wanted, &document, error);
	if (r == 0)
		r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = check(instance, &wanted, error);
	if (r < 0)
		return r;
	kind = strcmp(wanted.type, "vga") == 0 ? &session_vga : &session_console;
	config = (struct session_config){
		.width = clamp(wanted.width),
		.height = clamp(wanted.height),
		.watch = strcmp(wanted.mode, "watch") == 0,
		.quiet = !wanted.notices,
		.force = wanted.force,
		.from_boot = is_command_line(request),
		.replay = wanted.offset >= 0 ? SESSION_REPLAY_OFFSET : choose(wanted.replay, replays),
		.offset = (uint64_t)MAX(wanted.offset, 0),
		.scrollback = (unsigned int)MAX(wanted.scrollback, 0),
		.requestor = request->identity,
	};
	r = session_create(instance, kind, &config, &operation, error);
	if (r < 0)
		return r;
	r = response_async(response, operation_json(operation, &request->identity));
	if (r < 0) /* nobody knows its secrets */
		operation_cancel(operation);
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
	history_tell(api->instances->history, instance->row.name,
		     &(struct history_entry){.action = HISTORY_LOG_CLEARED, .who = &request->identity});
	return response_empty(response);
}
