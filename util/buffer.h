// SPDX-License-Identifier: Apache-2.0
/* A growable run of bytes with an upper bound. A zeroed one is empty and needs no init. */
#pragma once

#include <stddef.h>

struct buffer {
	char *data;
	size_t length, capacity;
};

/* Appends; -EMSGSIZE (nothing appended) if it would come to hold more than `limit` bytes, -ENOMEM. */
int buffer_append(struct buffer *buffer, const void *data, size_t length, size_t limit);

/* Drops the first `length` bytes. */
void buffer_consume(struct buffer *buffer, size_t length);

/* Releases the memory; the buffer is empty afterwards and may be used again. */
void buffer_finish(struct buffer *buffer);
