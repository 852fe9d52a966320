// SPDX-License-Identifier: Apache-2.0
/* POST /1.0/instances/NAME/console/input: types without a session. */
#include "api/body.h"
#include "api/handlers.h"
#include "instances/history.h"
#include "instances/instance.h"
#include "instances/typing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A deferred answer. The instance is there until the typing is done. */
struct input {
	struct response *response;
	struct instance *instance;
	struct typing *typing;
	struct identity requestor;
	bool keyboard;
};

struct input_request {
	const char *type, *text;
	json_t *keys;
};

/* --- the answer --- */

static void note(const struct input *input, size_t bytes)
{
	history_add(input->instance->instances->history, input->instance->row.name,
		    &(struct history_entry){
			    .action = HISTORY_TYPED,
			    .type = input->keyboard ? "vga" : "console",
			    .who = &input->requestor,
			    .received = bytes,
		    });
}

static void answer_error(struct response *response, const struct error *error)
{
	if (error->code == -ETIMEDOUT)
		response_error_status(response, 408, error_text(error));
	else if (error->code == -ESHUTDOWN)
		response_error_status(response, 410, error_text(error));
	else
		response_error(response, error);
}

static void on_done(void *user, size_t bytes, const struct error *error)
{
	struct input *input = user;
	struct response *response = input->response;
	json_t *metadata = input->keyboard ? json_object() : json_pack("{s:I}", "bytes", (json_int_t)bytes);

	if (!error || bytes)
		note(input, bytes);
	free(input);
	if (error)
		answer_error(response, error);
	else if (response_sync(response, metadata) < 0)
		response_error_status(response, 500, "Cannot allocate memory");
	if (error)
		json_decref(metadata);
	response_complete(response);
}

static void on_cancelled(struct response *response)
{
	struct input *input = response->context;

	typing_cancel(input->typing);
	free(input);
}

/* --- the request --- */

static int decode(const struct request *request, struct input_request *wanted, json_t **document, struct error *error)
{
	const struct body_field fields[] = {
		{"type", BODY_STRING, &wanted->type},
		{"text", BODY_STRING, &wanted->text},
		{"keys", BODY_STRINGS, &wanted->keys},
		{0},
	};

	return body_decode(request, BODY_WHOLE, "InstanceConsoleInputPost", fields, document, error);
}

static int check(const struct instance *instance, const char *type, struct error *error)
{
	if (strcmp(type, "console") != 0 && strcmp(type, "vga") != 0)
		return error_set(error, -EINVAL, "Unknown console type \"%s\"", type);
	if (strcmp(type, "vga") == 0 && instance->row.type == INSTANCE_CONTAINER)
		return error_set(error, -EINVAL, "VGA console is only supported by virtual machines");
	if (!instance_running(instance))
		return error_set(error, -EINVAL, "Instance is not running");
	if (instance->status == INSTANCE_FROZEN)
		return error_set(error, -EINVAL, "Instance is frozen");
	return 0;
}

/* Takes apart all that is to be typed before any of it is. */
static int take_apart(const struct input_request *wanted, struct keys *keys, struct error *error)
{
	const json_t *key;
	size_t i;
	int r;

	r = keys_add_text(keys, wanted->text, error);
	json_array_foreach (wanted->keys, i, key) {
		if (r == 0)
			r = keys_add_key(keys, json_string_value(key), error);
	}
	return r;
}

/* Whether its console is a serial line, which can be broken. */
static bool is_serial(const struct instance *instance)
{
	return instance->row.type == INSTANCE_VIRTUAL_MACHINE || driver_find(&instance->row) == &driver_serial;
}

/* Makes the typing of `input`. */
static int begin(struct input *input, const struct input_request *wanted, struct error *error)
{
	struct typing_config config = {.done = on_done, .user = input};
	int r;

	config.keys.keyboard = input->keyboard = strcmp(wanted->type, "vga") == 0;
	config.keys.serial = !input->keyboard && is_serial(input->instance);
	r = take_apart(wanted, &config.keys, error);
	if (r == 0 && !config.keys.bytes.length && !config.keys.break_count && !config.keys.chord_count)
		r = error_set(error, -EINVAL, "There is nothing to type");
	if (r == 0)
		r = typing_create(&input->typing, input->instance, &config, error);
	if (r < 0)
		keys_finish(&config.keys);
	return r;
}

int console_input_post(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct input_request wanted = {.type = "console", .text = ""};
	json_auto_t *document = NULL;
	struct instance *instance;
	struct input *input;
	int r;

	r = decode(request, &wanted, &document, error);
	if (r == 0)
		r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = check(instance, wanted.type, error);
	if (r < 0)
		return r;
	input = calloc(1, sizeof(*input));
	if (!input)
		return -ENOMEM;
	*input = (struct input){.response = response, .instance = instance, .requestor = request->identity};
	r = begin(input, &wanted, error);
	if (r < 0) {
		free(input);
		return r;
	}
	response->context = input;
	response->cancelled = on_cancelled;
	response->deferred = true;
	return 0;
}
