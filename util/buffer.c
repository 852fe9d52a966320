// SPDX-License-Identifier: Apache-2.0
#include "util/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int buffer_append(struct buffer *buffer, const void *data, size_t length, size_t limit)
{
	if (length > limit || buffer->length > limit - length)
		return -EMSGSIZE;
	if (buffer->length + length > buffer->capacity) {
		size_t capacity = buffer->capacity ? buffer->capacity : 256;
		char *grown;

		while (capacity < buffer->length + length)
			capacity *= 2;
		grown = realloc(buffer->data, capacity);
		if (!grown)
			return -ENOMEM;
		buffer->data = grown;
		buffer->capacity = capacity;
	}
	if (length)
		memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	return 0;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
	buffer->length -= length;
	if (buffer->length)
		memmove(buffer->data, buffer->data + length, buffer->length);
}

void buffer_finish(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
