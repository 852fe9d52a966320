// SPDX-License-Identifier: Apache-2.0
#include "instances/value.h"

#include <string.h>
#include <strings.h>

static const char *const truths[] = {"true", "1", "yes", "on", NULL};
static const char *const falsehoods[] = {"false", "0", "no", "off", NULL};

static bool one_of(const char *value, const char *const *words)
{
	for (; *words; words++)
		if (strcasecmp(value, *words) == 0)
			return true;
	return false;
}

const char *value_get(const json_t *config, const char *key, const char *otherwise)
{
	const char *value = json_string_value(json_object_get(config, key));

	return value && *value ? value : otherwise;
}

bool value_is_bool(const char *value)
{
	return one_of(value, truths) || one_of(value, falsehoods);
}

bool value_true(const json_t *config, const char *key)
{
	return one_of(value_get(config, key, ""), truths);
}
