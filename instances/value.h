// SPDX-License-Identifier: Apache-2.0
/* What the values of an instance's config and devices mean: all are strings, in LXD's notations. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* The value of a key, or `otherwise` where it is absent or empty. */
const char *value_get(const json_t *config, const char *key, const char *otherwise);

/* Whether it is one of LXD's words for true and false. */
bool value_is_bool(const char *value);

/* LXD's truth: true, 1, yes, on (any case). */
bool value_true(const json_t *config, const char *key);
