// SPDX-License-Identifier: Apache-2.0
/* Writes all or nothing to a bounded buffer; the first error stays, so that it is asked for once, at the end. */
#pragma once

#include "util/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct writer {
	struct buffer *out;
	size_t limit, begun;
	int error;
};

static inline struct writer writer_begin(struct buffer *out, size_t limit)
{
	return (struct writer){.out = out, .limit = limit, .begun = out->length};
}

static inline void writer_put(struct writer *writer, const void *data, size_t length)
{
	if (!writer->error)
		writer->error = buffer_append(writer->out, data, length, writer->limit);
}

static inline void writer_text(struct writer *writer, const char *text)
{
	writer_put(writer, text, strlen(text));
}

/* For short texts: at most 127 bytes. */
__attribute__((format(printf, 2, 3))) static inline void writer_format(struct writer *writer, const char *format, ...)
{
	char text[128];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	writer_put(writer, text, (size_t)length);
}

/* 0, -ENOMEM or -EMSGSIZE: what was written is taken back then. */
static inline int writer_end(struct writer *writer)
{
	if (writer->error)
		writer->out->length = writer->begun;
	return writer->error;
}
