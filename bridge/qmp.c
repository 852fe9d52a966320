// SPDX-License-Identifier: Apache-2.0
#include "bridge/qmp.h"
#include "util/cleanup.h"
#include "util/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECONDS_MAX INT64_C(1000000000000) /* so that times can be subtracted */

static int64_t time_of(const json_t *document)
{
	const json_t *stamp = json_object_get(document, "timestamp");

	return json_integer_value(json_object_get(stamp, "seconds")) % SECONDS_MAX * 1000000 +
	       json_integer_value(json_object_get(stamp, "microseconds")) % 1000000;
}

static int understand(json_t *document, struct qmp_message *message)
{
	const char *event = json_string_value(json_object_get(document, "event"));
	const json_t *error = json_object_get(document, "error");
	const char *words = json_string_value(json_object_get(error, "desc"));

	*message = (struct qmp_message){.name = "", .document = document};
	message->id = json_integer_value(json_object_get(document, "id"));
	message->data = json_object_get(document, event ? "data" : "return");
	if (event) {
		message->kind = QMP_EVENT;
		message->name = event;
		message->time = time_of(document);
	} else if (error) {
		message->kind = QMP_ERROR;
		message->name = words ? words : "an error without words";
	} else if (message->data) {
		message->kind = QMP_RETURN;
	} else if (json_object_get(document, "QMP")) {
		message->kind = QMP_GREETING;
	} else {
		return -EBADMSG;
	}
	return 0;
}

int qmp_take(struct buffer *read, struct qmp_message *message)
{
	char *end = read->length ? memchr(read->data, '\n', read->length) : NULL;
	json_t *document;
	size_t length;
	int r;

	if (!end)
		return read->length > QMP_LINE_MAX ? -EBADMSG : -EAGAIN;
	length = (size_t)(end - read->data) + 1;
	r = json_parse(&document, read->data, length, 0, NULL);
	buffer_consume(read, length);
	if (r == 0)
		r = understand(document, message);
	else if (r == -EINVAL)
		r = -EBADMSG;
	if (r < 0)
		json_decref(document);
	return r;
}

void qmp_finish(struct qmp_message *message)
{
	json_decref(message->document);
	*message = (struct qmp_message){0};
}

char *qmp_command(const char *name, json_t *arguments, json_int_t id)
{
	json_auto_t *command = json_pack("{s:s, s:o*}", "execute", name, "arguments", arguments);
	cleanup_free char *text = NULL;
	char *line;

	if (id)
		json_put(&command, "id", json_integer(id));
	text = command ? json_text(command, JSON_COMPACT) : NULL;
	return text && asprintf(&line, "%s\n", text) >= 0 ? line : NULL;
}
