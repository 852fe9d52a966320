// SPDX-License-Identifier: Apache-2.0
#include "instances/history.h"
#include "api/handlers.h"
#include "instances/instance.h"
#include "util/json.h"
#include "util/timestamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Adds a text, unless there is none, or it is no UTF-8: the database is a file that others may have written to. */
static void add_text(json_t **object, const char *key, const char *text)
{
	json_t *value;

	errno = 0;
	value = text ? json_string(text) : NULL;
	if (value || errno == ENOMEM)
		json_put(object, key, value);
}

static void add_number(json_t **object, const char *key, int64_t number)
{
	json_put(object, key, json_integer(number));
}

static void add_act(const struct store_act *act, void *user)
{
	char when[TIMESTAMP_LENGTH + 1];
	json_t *object = json_object();

	timestamp_format(act->time, when);
	add_text(&object, "time", when);
	add_text(&object, "action", act->action);
	add_text(&object, "session", act->session);
	add_text(&object, "type", act->type);
	add_text(&object, "mode", act->mode);
	add_text(&object, "username", act->username);
	if (act->username) {
		add_number(&object, "uid", act->uid);
		add_number(&object, "pid", act->pid);
	}
	add_text(&object, "by", act->by);
	if (act->duration) {
		json_put(&object, "duration", json_real((double)act->duration / 1e9));
		add_number(&object, "bytes_sent", (int64_t)act->sent);
		add_number(&object, "bytes_received", (int64_t)act->received);
	}
	if (act->count > 1 || (act->action && strcmp(act->action, "lost") == 0))
		add_number(&object, "count", act->count);
	json_append(user, object);
}

static int read_limit(const struct request *request, unsigned int *limit, struct error *error)
{
	const char *text = request_query(request, "limit");
	unsigned long number;

	*limit = UINT_MAX; /* the history knows how many there can be */
	if (!text)
		return 0;
	number = strtoul(text, NULL, 10); /* ULONG_MAX on overflow */
	if (text[strspn(text, "0123456789")] || number == 0)
		return error_set(error, -EINVAL, "Invalid value for limit parameter: %s", text);
	if (number < UINT_MAX)
		*limit = (unsigned int)number;
	return 0;
}

static int read_since(const struct request *request, int64_t *since, struct error *error)
{
	const char *text = request_query(request, "since");

	*since = 0;
	if (text && timestamp_parse(text, since) < 0)
		return error_set(error, -EINVAL, "Invalid value for since parameter: %s", text);
	return 0;
}

int console_history_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	json_auto_t *acts = json_array();
	struct instance *instance;
	unsigned int limit;
	int64_t since;
	int r;

	if (!acts)
		return -ENOMEM;
	r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = read_limit(request, &limit, error);
	if (r == 0)
		r = read_since(request, &since, error);
	if (r == 0)
		r = history_each(api->instances->history, instance->row.name, since, limit, add_act, &acts, error);
	return r < 0 ? r : response_sync(response, json_incref(acts));
}
