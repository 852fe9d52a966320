// SPDX-License-Identifier: Apache-2.0
#include "instances/items.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void items_finish(struct items *items)
{
	for (size_t i = 0; i < items->count; i++)
		free(items->list[i]);
	free(items->list);
	*items = (struct items){0};
}

void items_add(struct items *items, const char *format, ...)
{
	char **list = reallocarray(items->list, items->count + 2, sizeof(*list));
	va_list arguments;
	int r;

	if (!list) {
		items->failed = true;
		return;
	}
	items->list = list;
	va_start(arguments, format);
	r = vasprintf(&list[items->count], format, arguments);
	va_end(arguments);
	if (r < 0)
		items->failed = true;
	else
		items->count++;
	list[items->count] = NULL;
}

bool items_have(const struct items *items, const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 0; i < items->count; i++)
		if (strncmp(items->list[i], key, length) == 0 && items->list[i][length] == '=')
			return true;
	return false;
}
