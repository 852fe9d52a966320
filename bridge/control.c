// SPDX-License-Identifier: Apache-2.0
#include "bridge/control.h"

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
	json_auto_t *root = json_loadb(message, length, 0, NULL);
	const char *command = json_string_value(json_object_get(root, "command"));
	const json_t *args = json_object_get(root, "args");
	struct control control = {
		.width = number_in(args, "width"),
		.height = number_in(args, "height"),
	};

	if (command && strcmp(command, "window-resize") == 0 && control.width && control.height)
		control.command = CONTROL_WINDOW_RESIZE;
	return control;
}
