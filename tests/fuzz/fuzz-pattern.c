// SPDX-License-Identifier: Apache-2.0
/*
 * Two patterns and a line, each ended by a newline. A set of them says no only if both do, its groups lie in the line,
 * and a pattern that matches has the group of the whole match.
 */
#include "render/pattern.h"
#include "util/cleanup.h"
#include "util/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool try(const struct pattern *pattern, const char *line, size_t length)
{
	struct pattern_group groups[PATTERN_GROUPS_MAX];
	size_t count = pattern_groups(pattern, line, length, groups);

	require((count > 0) == pattern_matches(pattern, line, length) && count <= PATTERN_GROUPS_MAX);
	require(count == 0 || groups[0].text);
	for (size_t i = 0; i < count; i++)
		require(!groups[i].text || (groups[i].text >= line && groups[i].length <= length &&
					    groups[i].text + groups[i].length <= line + length));
	return count > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);
	struct pattern_set *set = pattern_set_create();
	char *rest = text, *source;
	struct pattern *patterns[2] = {NULL};
	bool any = false;

	for (int i = 0; i < 2; i++) {
		struct error error = {0};

		source = strsep(&rest, "\n");
		if (!source)
			break;
		if (pattern_create(&patterns[i], source, &error) == 0)
			pattern_set_add(set, patterns[i]);
		else
			require(error.text[0]);
	}
	if (rest) {
		for (int i = 0; i < 2; i++)
			any |= patterns[i] && try(patterns[i], rest, strlen(rest));
		require(pattern_set_may_match(set, rest, strlen(rest)) || !any);
	}
	for (int i = 0; i < 2; i++)
		pattern_destroy(patterns[i]);
	pattern_set_destroy(set);
	return 0;
}
