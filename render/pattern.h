// SPDX-License-Identifier: Apache-2.0
/*
 * Regular expressions in RE2's syntax (https://github.com/google/re2/wiki/Syntax), for patterns that strangers write
 * and text that strangers print: to match takes time linear in the text, and no pattern more memory than
 * PATTERN_MEMORY.
 *
 * Without memory for small things the process ends: RE2 is C++ that cannot fail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PATTERN_LENGTH_MAX 1024
#define PATTERN_MEMORY (1024 * 1024)

/*
 * RE2's instructions: 1200 for a class of all letters (\pL), 12 for any character. They bound what a line of 4 KiB
 * costs in the worst case, when RE2 has to simulate an NFA: 15 us for each.
 */
#define PATTERN_SIZE_MAX 2500

#define PATTERN_GROUPS_MAX 32 /* of one match; the first is the whole match */

struct error;
struct pattern;

struct pattern_group {
	const char *text; /* in the line that matched; NULL: the group has no part in the match */
	size_t length;
};

/* -EINVAL in RE2's words, or in ours where one of the bounds above is passed. */
int pattern_create(struct pattern **pattern, const char *text, struct error *error);

/* NULL is allowed. */
void pattern_destroy(struct pattern *pattern);

/* Whether it matches anywhere in a line of UTF-8. ^ and $ are the line's ends. -ENOMEM: do not use it again. */
int pattern_matches(const struct pattern *pattern, const char *line, size_t length);

/* What its groups have matched: PATTERN_GROUPS_MAX of them at most go to `groups`. Returns how many; 0: no match;
 * -ENOMEM as above. */
int pattern_groups(const struct pattern *pattern, const char *line, size_t length, struct pattern_group *groups);

/* --- many at once, for what one costs --- */

struct pattern_set;

/* An empty one, which needs no pattern to stay. NULL: no memory. */
struct pattern_set *pattern_set_create(void);

/* NULL is allowed. */
void pattern_set_destroy(struct pattern_set *set);

/* Not after the first pattern_set_may_match(). */
void pattern_set_add(struct pattern_set *set, const struct pattern *pattern);

/* false: none of them matches the line. true: one does, or it must be tried, as together they are too much for RE2. */
bool pattern_set_may_match(struct pattern_set *set, const char *line, size_t length);

#ifdef __cplusplus
}
#endif
