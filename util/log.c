// SPDX-License-Identifier: Apache-2.0
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level log_level = LOG_LEVEL_WARN;

void log_set_level(enum log_level level)
{
	log_level = level;
}

/* Copies `text` with what is not printable ASCII or UTF-8's upper half shown as \xNN. Returns the length. */
static size_t escape(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0))
			used += (size_t)snprintf(out + used, size - used, "\\x%02x", c);
		else
			out[used++] = (char)c;
	}
	return used;
}

void log_write(enum log_level level, const char *file, int line, const char *format, ...)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	int saved = errno;
	char text[1024], out[4096];
	const char *base;
	va_list args;
	size_t used;

	if (level > log_level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	while ((base = strstr(file, "../"))) /* build directories spell sources as ../x/y.c */
		file = base + 3;
	used = (size_t)snprintf(out, sizeof(out), "%-5s %s:%d: ", names[level], file, line);
	used += escape(out + used, sizeof(out) - used - 1, text);
	out[used++] = '\n';
	if (write(STDERR_FILENO, out, used) < 0) {
		/* Nowhere left to say it. */
	}
	errno = saved;
}
