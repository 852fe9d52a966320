// SPDX-License-Identifier: Apache-2.0
/*
 * LXD's `filter=` expression on lists: `status eq running and config.user.a ne b`. Fields are paths into the object's
 * JSON, values are compared without regard to case and may be quoted. `and` binds tighter than `or`; `not` before a
 * clause negates.
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>

struct filter;

/*
 * Parses; an empty expression gives a filter that matches all. -EINVAL with LXD's words: Invalid filter: clause has no
 * operator, clause has no value. At most 64 clauses.
 */
int filter_create(struct filter **filter, const char *expression, struct error *error);
bool filter_matches(const struct filter *filter, const json_t *object);
void filter_destroy(struct filter *filter);
