// SPDX-License-Identifier: Apache-2.0
#include "util/json.h"

#include "util/buffer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define LOAN_SIZE (4 * 1024 * 1024)
#define ALIGNMENT 16

/* jansson's allocators are the process's, and are told nothing, so this cannot be but here. Costs no memory until used.
 */
static struct {
	bool parsing;
	size_t used;
	_Alignas(ALIGNMENT) unsigned char bytes[LOAN_SIZE];
} loan;

static void drop(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

void json_put(json_t **object, const char *key, json_t *value)
{
	if (json_object_set_new(*object, key, value) < 0)
		drop(object);
}

void json_append(json_t **array, json_t *value)
{
	if (json_array_append_new(*array, value) < 0)
		drop(array);
}

void json_put_all(json_t **object, const json_t *more)
{
	if (json_object_update(*object, (json_t *)more) < 0)
		drop(object);
}

json_t *json_duplicate(const json_t *json)
{
	json_t *copy = json_copy((json_t *)json);

	if (json_object_size(copy) != json_object_size(json) || json_array_size(copy) != json_array_size(json))
		drop(&copy);
	return copy;
}

/* What has failed goes on failing: not everything that jansson writes asks how it went. */
struct text {
	struct buffer buffer;
	int error;
};

static int write_text(const char *data, size_t length, void *user)
{
	struct text *text = user;

	if (!text->error)
		text->error = buffer_append(&text->buffer, data, length, SIZE_MAX);
	return text->error;
}

char *json_text(const json_t *json, size_t flags)
{
	struct text text = {0};

	if (json_dump_callback(json, write_text, &text, flags) == 0 && write_text("", 1, &text) == 0)
		return text.buffer.data;
	buffer_finish(&text.buffer);
	return NULL;
}

static void *allocate(size_t size)
{
	void *memory = malloc(size);

	if (memory || !loan.parsing)
		return memory;
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (size > LOAN_SIZE - loan.used)
		abort(); /* rather than what jansson would do */
	memory = loan.bytes + loan.used;
	loan.used += size;
	return memory;
}

static void release(void *memory)
{
	unsigned char *byte = memory;

	if (byte < loan.bytes || byte >= loan.bytes + LOAN_SIZE)
		free(memory);
}

int json_parse(json_t **result, const char *text, size_t length, size_t flags, json_error_t *problem)
{
	json_error_t unused;
	bool borrowed;

	json_set_alloc_funcs(allocate, release);
	loan.parsing = true;
	*result = json_loadb(text, length, flags, problem ? problem : &unused);
	borrowed = loan.used > 0;
	if (borrowed) {
		json_decref(*result);
		*result = NULL;
	}
	loan.parsing = false;
	loan.used = 0;
	if (borrowed)
		return -ENOMEM;
	return *result ? 0 : -EINVAL;
}
