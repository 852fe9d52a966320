// SPDX-License-Identifier: Apache-2.0
#include "api/log_screen.h"

#include "instances/drawing.h"
#include "instances/instance.h"
#include "render/screen.h"
#include "util/buffer.h"
#include "util/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/param.h>
#include <uv.h>

#define SLICE (64 * 1024) /* bytes of the log in a turn of the loop */
#define ANSWER_MAX (4 * 1024 * 1024)

/* A deferred answer. */
struct log_screen {
	struct log_screen *next; // api::screens
	struct api *api;
	struct instance *instance;
	struct instance_reader reader;
	struct log_range rest;
	bool html;
	struct response *response;
	struct screen *screen; /* NULL until its turn comes */
	uv_idle_t idle;
};

static void on_closed(uv_handle_t *handle)
{
	free(container_of((uv_idle_t *)handle, struct log_screen, idle));
}

static void screen_forget(struct log_screen *made)
{
	struct log_screen **at = &made->api->screens;

	while (*at != made)
		at = &(*at)->next;
	*at = made->next;
	list_remove(&made->reader.link);
	screen_destroy(made->screen);
	uv_close((uv_handle_t *)&made->idle, on_closed);
}

static int answer(const struct log_screen *made)
{
	struct response *response = made->response;
	struct buffer text = {0};
	int r = made->html ? screen_html(made->screen, made->instance->row.name, &text, ANSWER_MAX)
			   : screen_text(made->screen, &text, ANSWER_MAX);

	if (r < 0) {
		buffer_finish(&text);
		return r;
	}
	r = response_bytes(response, made->html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8", text.data,
			   text.length);
	if (r == 0 && made->html) /* nothing is loaded and nothing runs, whatever the instance has printed */
		r = response_header(response, "Content-Security-Policy",
				    "default-src 'none'; style-src 'unsafe-inline'");
	if (r == 0)
		r = response_header(response, "Cache-Control", "no-store");
	return r < 0 ? r : response_header(response, "X-Content-Type-Options", "nosniff");
}

/* Tells the client, and forgets about it. */
static void complete(struct log_screen *made, int r)
{
	struct response *response = made->response;

	if (r < 0)
		response_error(response, &(struct error){.code = r});
	screen_forget(made);
	response_complete(response);
}

/* Draws a slice of what is left; bytes that have been overwritten are left out. */
static void draw(struct log_screen *made)
{
	const struct ring *ring = console_ring(made->instance->console);
	uint64_t end = MIN(made->rest.to, made->rest.from + SLICE), lost;
	char block[4096];

	while (made->rest.from < end) {
		size_t size = MIN(sizeof(block), end - made->rest.from);

		screen_feed(made->screen, block, ring_read(ring, &made->rest.from, block, size, &lost));
	}
}

static void on_idle(uv_idle_t *idle)
{
	struct log_screen *made = container_of(idle, struct log_screen, idle);
	uint16_t width, height;
	int r = 0;

	if (made->api->screens != made)
		return;
	drawing_size(made->instance->console, &width, &height);
	if (!made->screen)
		r = screen_create(&made->screen, width, height, 0);
	if (r == 0)
		draw(made);
	if (r < 0 || made->rest.from >= made->rest.to)
		complete(made, r < 0 ? r : answer(made));
}

static void on_cancelled(struct response *response)
{
	screen_forget(response->context);
}

static void on_news(struct instance_reader *reader)
{
}

static void on_gone(struct instance_reader *reader)
{
	struct log_screen *made = container_of(reader, struct log_screen, reader);

	response_error(made->response, &(struct error){.code = -ENOENT, .text = "Instance not found"});
	complete(made, 0);
}

/* Where the next one comes, or NULL: there are too many. */
static struct log_screen **find_end(struct api *api)
{
	struct log_screen **at = &api->screens;

	for (unsigned int count = 0; count < api->instances->limits->screens; count++, at = &(*at)->next)
		if (!*at)
			return at;
	return NULL;
}

int log_screen(struct api *api, struct instance *instance, const struct log_query *query, const struct log_range *range,
	       struct response *response, struct error *error)
{
	struct log_screen **end = find_end(api), *made;

	if (!end)
		return error_set(error, -EAGAIN, "Too many screens are being drawn: limits.screens is %" PRIu64,
				 api->instances->limits->screens);
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	*made = (struct log_screen){
		.api = api,
		.instance = instance,
		.reader = {.output = on_news, .ended = on_news, .gone = on_gone},
		.rest = *range,
		.html = query->format == LOG_HTML,
		.response = response,
	};
	*end = made;
	list_append(&instance->readers, &made->reader.link);
	uv_idle_init(instance->instances->loop, &made->idle);
	uv_idle_start(&made->idle, on_idle);
	response->context = made;
	response->cancelled = on_cancelled;
	response->deferred = true;
	return 0;
}
