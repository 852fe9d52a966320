// SPDX-License-Identifier: Apache-2.0
/*
 * A list of strings under construction: liblxc's config items (lxc.container.conf(5), one "key=value" each), or the
 * words of a command line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty list. */
struct items {
	char **list; /* ended by NULL, or NULL when nothing has been added */
	size_t count;
	bool failed; /* memory ran out: the list is not complete */
};

void items_finish(struct items *items);

/* Adds one at the end; a failure is remembered. */
void items_add(struct items *items, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether there is an item with this key. */
bool items_have(const struct items *items, const char *key);
