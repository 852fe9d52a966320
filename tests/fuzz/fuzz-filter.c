// SPDX-License-Identifier: Apache-2.0
/*
 * An expression: after `or` something true it matches, after `and` something false it does not. A filter refused has a
 * reason.
 */
#include "api/filter.h"
#include "util/cleanup.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char instance[] = "{\"name\": \"web-1\", \"status_code\": 103, \"profiles\": [\"default\"], \"x\": null,"
			       " \"config\": {\"user.a\": \"b\"}, \"devices\": {\"root\": {\"path\": \"/\"}}}";

/* Whether the expression matches, or -1 where it is refused. */
static int evaluate(const char *expression, const json_t *object)
{
	struct filter *filter;
	struct error error = {0};
	int match;

	if (filter_create(&filter, expression, &error) < 0) {
		if (strncmp(error.text, "Invalid filter: ", 16) != 0)
			abort();
		return -1;
	}
	match = filter_matches(filter, object);
	filter_destroy(filter);
	return match;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size), *longer = NULL;
	json_auto_t *object = json_loads(instance, 0, NULL);

	if (evaluate(text, object) < 0 || text[strspn(text, " \t\n\v\f\r")] == '\0')
		return 0;
	if (asprintf(&longer, "%s or absent ne x and absent eq x", text) < 0)
		abort();
	if (evaluate(longer, object) == 1) /* 63 clauses and two more are refused */
		abort();
	*strstr(longer + strlen(text), " and ") = '\0';
	if (evaluate(longer, object) == 0)
		abort();
	return 0;
}
