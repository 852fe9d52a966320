// SPDX-License-Identifier: Apache-2.0
#include "bridge/control.h"
#include "util/json.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* The number that a member of `object` spells in decimal digits alone; 0 if it is no string, or not in 1..65535. */
static uint16_t number_in(const json_t *object, const char *name)
{
	const json_t *member = json_object_get(object, name);
	const char *text = json_string_value(member);
	uint32_t number = 0;

	for (; text && *text; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		number = number * 10 + (uint32_t)(*text - '0');
		if (number > UINT16_MAX)
			return 0;
	}
	return (uint16_t)number;
}

struct control control_parse(const void *message, size_t length)
{
	struct control control = {.command = CONTROL_IGNORED};
	json_auto_t *root = NULL;
	const char *command;
	const json_t *args;
	int r = json_parse(&root, message, length, 0, NULL);

	if (r == -ENOMEM)
		control.command = CONTROL_LOST;
	if (r < 0)
		return control;
	command = json_string_value(json_object_get(root, "command"));
	args = json_object_get(root, "args");
	control.width = number_in(args, "width");
	control.height = number_in(args, "height");
	if (command && strcmp(command, "window-resize") == 0 && control.width && control.height)
		control.command = CONTROL_WINDOW_RESIZE;
	return control;
}
