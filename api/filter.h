// SPDX-License-Identifier: Apache-2.0
/*
 * LXD's `filter=` expression on lists: `status eq running and config.user.a ne b`. Fields are paths into the object's
 * JSON; what is not there is an empty text, what is no string is compared by its JSON text. As in LXD (rest-api.md,
 * "Filtering"), a value is a regular expression without regard to case that must match the whole field unless it has
 * ^ or $ of its own, and a plain text where it is none; it may be in double quotes. Of regular expressions there are
 * . [] () | ^ $, \ before punctuation, and * + ? after a single character; any other is a plain text. `and` and `or`
 * bind alike, from left to right; `not` before a clause negates that one. Keywords in any case.
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>

struct filter;

/*
 * Parses; an empty expression gives a filter that matches all. -EINVAL with LXD's words: Invalid filter: clause has no
 * operator, clause has no value, ... At most 64 clauses.
 */
int filter_create(struct filter **filter, const char *expression, struct error *error);

/* 1 or 0. -E2BIG: what this filter has been given to match so far costs too much, and so does all that follows. */
int filter_matches(struct filter *filter, const json_t *object);
void filter_destroy(struct filter *filter);
