// SPDX-License-Identifier: Apache-2.0
#include "api/screenshot.h"
#include "instances/history.h"
#include "instances/instance.h"
#include "spice/monitor.h"
#include "spice/screenshot.h"
#include "util/cleanup.h"
#include "util/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A deferred answer. It does not need the instance, which may be deleted meanwhile. */
struct shot {
	struct shot *next; // api::shots
	struct api *api;
	char *instance; /* its name */
	struct identity requestor;
	struct response *response;
	struct screenshot *screenshot;
};

static void shot_free(struct shot *shot)
{
	struct shot **at = &shot->api->shots;

	while (*at != shot)
		at = &(*at)->next;
	*at = shot->next;
	free(shot->instance);
	free(shot);
}

static struct shot *shot_create(struct api *api, const struct instance *instance, const struct request *request,
				struct response *response)
{
	struct shot *shot = malloc(sizeof(*shot));
	char *name = strdup(instance->row.name);

	if (!shot || !name) {
		free(shot);
		free(name);
		return NULL;
	}
	*shot = (struct shot){
		.next = api->shots,
		.api = api,
		.instance = name,
		.requestor = request->identity,
		.response = response,
	};
	api->shots = shot;
	return shot;
}

static unsigned int count(const struct api *api, const char *instance)
{
	unsigned int found = 0;

	for (const struct shot *shot = api->shots; shot; shot = shot->next)
		found += strcmp(shot->instance, instance) == 0;
	return found;
}

static int answer(const struct shot *shot, char *png, size_t length)
{
	const struct history_entry entry = {.action = HISTORY_SCREENSHOT, .type = "vga", .who = &shot->requestor};
	int r = response_bytes(shot->response, "image/png", png, length);

	if (r == 0)
		r = response_header(shot->response, "Cache-Control", "no-store");
	if (r == 0)
		r = response_header(shot->response, "X-Content-Type-Options", "nosniff");
	if (r == 0)
		history_tell(shot->api->instances->history, shot->instance, &entry);
	return r;
}

static void on_done(void *user, char *png, size_t length, const struct error *error)
{
	struct shot *shot = user;
	struct response *response = shot->response;

	if (!png)
		response_error_status(response, 500, error_text(error));
	else if (answer(shot, png, length) < 0)
		response_error_status(response, 500, "Cannot allocate memory");
	shot_free(shot);
	response_complete(response);
}

static void on_cancelled(struct response *response)
{
	struct shot *shot = response->context;

	screenshot_cancel(shot->screenshot);
	shot_free(shot);
}

static int begin(struct shot *shot, const struct instance *instance, struct error *error)
{
	cleanup_close int directory = console_open_directory(instance->console);

	if (directory < 0)
		return error_set(error, -EIO, "The machine's directory cannot be opened: %s", strerror(-directory));
	return screenshot_take(&shot->screenshot, instance->instances->loop, directory, MONITOR_TIMEOUT_MS, on_done,
			       shot, error);
}

int screenshot_get(struct api *api, const struct instance *instance, const struct request *request,
		   struct response *response, struct error *error)
{
	struct shot *shot;
	int r;

	if (!instance_running(instance))
		return error_set(error, -EINVAL, "Instance is not running");
	if (count(api, instance->row.name) >= api->instances->limits->screenshots)
		return error_set(error, -EAGAIN, "Too many screenshots of %s at once: limits.screenshots is %" PRIu64,
				 instance->row.name, api->instances->limits->screenshots);
	shot = shot_create(api, instance, request, response);
	if (!shot)
		return -ENOMEM;
	r = begin(shot, instance, error);
	if (r < 0) {
		shot_free(shot);
		return r;
	}
	response->context = shot;
	response->cancelled = on_cancelled;
	response->deferred = true;
	return 0;
}
