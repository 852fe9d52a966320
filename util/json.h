// SPDX-License-Identifier: Apache-2.0
/*
 * Where jansson does not tell that memory has run out, or every caller would have to ask: what has failed once stays
 * so, and is found where the result is used.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Sets a key of *object, or appends to *array, and consumes `value`. On failure (a NULL value, too) the whole of it is
 * released and becomes NULL, to which more may be added in vain. */
void json_put(json_t **object, const char *key, json_t *value);
void json_append(json_t **array, json_t *value);

/* As json_put() of all that `more` holds, which stays the caller's. */
void json_put_all(json_t **object, const json_t *more);

/* A shallow copy of an object or array. json_copy() leaves out what there is no memory for. */
json_t *json_duplicate(const json_t *json);

/* As json_dumps(), which leaves out a key that there is no memory for (jansson's issue 655). To be freed. */
char *json_text(const json_t *json, size_t flags);

/*
 * As json_loadb(). -EINVAL: it is not JSON, `problem` (may be NULL) says why; -ENOMEM. jansson's parser does not ask
 * whether it could keep a byte of a string: without memory it gives wrong strings, or reads and writes past their ends.
 * So while it runs it is lent some, and what it has made of that is thrown away. Not to be nested.
 */
int json_parse(json_t **result, const char *text, size_t length, size_t flags, json_error_t *problem);
