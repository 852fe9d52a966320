// SPDX-License-Identifier: Apache-2.0
#include "render/asciicast.h"

#include "render/utf8.h"
#include "render/writer.h"

#include <string.h>

#define SECOND 1000000000
#define MICROSECOND 1000

/* A byte that JSON (RFC 8259, section 7) does not take as it is. */
static void put_escaped(struct writer *writer, uint8_t byte)
{
	static const char digits[] = "0123456789abcdef";
	static const char named[] = {['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};
	char escaped[] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0xf]};

	if (byte >= sizeof(named) || !named[byte]) {
		writer_put(writer, escaped, sizeof(escaped));
		return;
	}
	escaped[1] = named[byte];
	writer_put(writer, escaped, 2);
}

static int is_escaped(uint8_t byte)
{
	return byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f;
}

/* Returns how many bytes at the end are a character that is cut off; they are not written. */
static size_t put_string(struct writer *writer, const uint8_t *bytes, size_t length)
{
	size_t at = 0, done = 0;

	while (at < length) {
		int character = utf8_scan(bytes + at, length - at);

		if (character > 0 && !is_escaped(bytes[at])) {
			at += (size_t)character;
			continue;
		}
		writer_put(writer, bytes + done, at - done);
		if (!character)
			return length - at;
		if (character < 0)
			writer_text(writer, UTF8_REPLACEMENT);
		else
			put_escaped(writer, bytes[at]);
		at += (size_t)(character < 0 ? -character : character);
		done = at;
	}
	writer_put(writer, bytes + done, at - done);
	return 0;
}

/* A text that ends here: what is cut off at its end stays so. */
static void put_text(struct writer *writer, const char *text)
{
	if (put_string(writer, (const uint8_t *)text, strlen(text)))
		writer_text(writer, UTF8_REPLACEMENT);
}

static void put_time(struct writer *writer, const struct asciicast *asciicast, int64_t time)
{
	int64_t since = time - asciicast->began_at;

	writer_format(writer, "[%lld.%06lld, ", (long long)(since / SECOND), (long long)(since % SECOND / MICROSECOND));
}

int asciicast_begin(struct asciicast *asciicast, uint16_t width, uint16_t height, int64_t time, const char *title,
		    struct buffer *out, size_t limit)
{
	struct writer writer = writer_begin(out, limit);

	writer_format(&writer, "{\"version\": 2, \"width\": %u, \"height\": %u, \"timestamp\": %lld", width, height,
		      (long long)(time / SECOND));
	if (title) {
		writer_text(&writer, ", \"title\": \"");
		put_text(&writer, title);
		writer_text(&writer, "\"");
	}
	writer_text(&writer, "}\n");
	if (!writer.error)
		*asciicast = (struct asciicast){.began_at = time, .last = time};
	return writer_end(&writer);
}

/*
 * Makes whole the character that the last piece left, with bytes of this one, and writes it; returns how many these
 * were. `held` counts what is left of it then.
 */
static size_t put_held(struct writer *writer, struct asciicast *asciicast, const uint8_t *data, size_t length)
{
	size_t taken = 0;

	while (asciicast->held && taken < length) {
		int character;

		asciicast->bytes[asciicast->held] = data[taken];
		character = utf8_scan(asciicast->bytes, asciicast->held + 1U);
		if (character >= 0)
			taken++;
		if (character < 0)
			writer_text(writer, UTF8_REPLACEMENT);
		else if (character > 0)
			writer_put(writer, asciicast->bytes, (size_t)character);
		asciicast->held = character ? 0 : (uint8_t)(asciicast->held + 1);
	}
	return taken;
}

int asciicast_output(struct asciicast *asciicast, int64_t time, const char *data, size_t length, struct buffer *out,
		     size_t limit)
{
	struct writer writer = writer_begin(out, limit);
	struct asciicast next = *asciicast;
	const uint8_t *bytes = (const uint8_t *)data;
	size_t opened, taken;

	next.last = time > next.last ? time : next.last;
	put_time(&writer, &next, next.last);
	writer_text(&writer, "\"o\", \"");
	opened = out->length;
	taken = put_held(&writer, &next, bytes, length);
	if (taken < length) {
		next.held = (uint8_t)put_string(&writer, bytes + taken, length - taken);
		memcpy(next.bytes, bytes + length - next.held, next.held);
	}
	if (!writer.error && out->length == opened)
		out->length = writer.begun; /* Nothing whole yet: no event. */
	else
		writer_text(&writer, "\"]\n");
	if (!writer.error)
		*asciicast = next;
	return writer_end(&writer);
}

int asciicast_marker(struct asciicast *asciicast, int64_t time, const char *text, struct buffer *out, size_t limit)
{
	struct writer writer = writer_begin(out, limit);

	time = time > asciicast->last ? time : asciicast->last;
	put_time(&writer, asciicast, time);
	writer_text(&writer, "\"m\", \"");
	put_text(&writer, text);
	writer_text(&writer, "\"]\n");
	if (!writer.error)
		asciicast->last = time;
	return writer_end(&writer);
}
