// SPDX-License-Identifier: Apache-2.0
#include "tests/live/frames.h"
#include "tests/live/request.h"

#include <endian.h>
#include <err.h>
#include <string.h>

#define PAYLOAD_MAX 200000
#define MASK 0x80

static void append(struct buffer *out, const void *data, size_t length)
{
	if (buffer_append(out, data, length, REQUEST_MAX) < 0)
		errx(2, "out of memory");
}

/* A frame's head; `form`: how its length is spelt, 7, 16 or 64 bits. */
static void put_head(unsigned int how, unsigned int masked, unsigned int form, uint64_t length, struct buffer *out)
{
	unsigned char head[10] = {(unsigned char)how, (unsigned char)(masked | (form == 7    ? length & 127
										: form == 16 ? 126
											     : 127))};

	if (form == 16)
		memcpy(head + 2, &(uint16_t){htobe16((uint16_t)length)}, 2);
	if (form == 64)
		memcpy(head + 2, &(uint64_t){htobe64(length)}, 8);
	append(out, head, form == 7 ? 2 : form == 16 ? 4 : 10);
}

static void put_masked(struct random *random, const char *payload, size_t length, struct buffer *out)
{
	uint32_t mask = random_percent(random, 20) ? 0 : (uint32_t)random_next(random);
	size_t at;

	append(out, &mask, sizeof(mask));
	at = out->length;
	append(out, payload, length);
	for (size_t i = 0; i < length; i++)
		out->data[at + i] ^= ((const char *)&mask)[i % 4];
}

void frame_put(struct random *random, unsigned int how, const void *payload, size_t length, struct buffer *out)
{
	put_head(how, MASK, length < 126 ? 7 : length < 65536 ? 16 : 64, length, out);
	put_masked(random, payload, length, out);
}

/* --- what is proper --- */

/* Lengths on both sides of where they are spelt otherwise. */
static size_t some_length(struct random *random)
{
	static const size_t lengths[] = {0, 1, 2, 125, 126, 127, 4095, 4096, 4097, 65535, 65536, 70000};

	return random_percent(random, 70) ? random_below(random, 64) : random_pick(random, lengths);
}

static void put_fragments(struct random *random, const char *payload, size_t length, struct buffer *out)
{
	unsigned int first = random_percent(random, 70) ? FRAME_BINARY : FRAME_TEXT;
	size_t half = length / 2;

	frame_put(random, first & ~FRAME_LAST, payload, half, out);
	if (random_percent(random, 50))
		frame_put(random, FRAME_PING, payload, half < 125 ? half : 125, out);
	if (random_percent(random, 50))
		frame_put(random, 0, payload, 0, out);
	frame_put(random, FRAME_LAST, payload + half, length - half, out);
}

/* Of lines, so that a terminal passes it on. */
static void put_data(struct random *random, struct buffer *out)
{
	static char payload[PAYLOAD_MAX];
	size_t length = some_length(random);
	uint32_t kind = random_below(random, 100);

	for (size_t i = 0; i < length; i++)
		payload[i] = i % 60 == 59 ? '\n' : (char)('a' + (char)random_below(random, 26));
	if (kind < 60)
		frame_put(random, FRAME_BINARY, payload, length, out);
	else if (kind < 75)
		frame_put(random, FRAME_TEXT, payload, length + (length == 0), out); /* an empty one ends the input */
	else if (kind < 90)
		put_fragments(random, payload, length, out);
	else if (kind < 95)
		frame_put(random, FRAME_PING + random_below(random, 2), payload, length < 125 ? length : 125, out);
	else if (kind < 97)
		frame_put(random, FRAME_TEXT, payload, 0, out);
	else
		frame_put(random, FRAME_BINARY, &(uint64_t){random_next(random)}, 8, out); /* ctrl-c and its kin */
}

static void put_control(struct random *random, struct buffer *out)
{
	static const char *const messages[] = {
		"{\"command\":\"window-resize\",\"args\":{\"width\":\"100\",\"height\":\"30\"},\"signal\":0}",
		"{\"command\":\"window-resize\",\"args\":{\"width\":\"0\",\"height\":\"99999\"}}",
		"{\"command\":\"window-resize\",\"args\":{\"width\":80,\"height\":24}}",
		"{\"command\":\"window-resize\",\"args\":[]}",
		"{\"command\":\"signal\",\"signal\":15}",
		"{\"command\":7}",
		"{}",
		"[[[[",
		"",
		"\xff",
	};
	const char *message = random_pick(random, messages);

	if (random_percent(random, 10))
		frame_put(random, FRAME_PING, message, strlen(message) < 125 ? strlen(message) : 125, out);
	else if (random_percent(random, 10))
		put_fragments(random, message, strlen(message), out);
	else
		frame_put(random, random_percent(random, 90) ? FRAME_TEXT : FRAME_BINARY, message, strlen(message),
			  out);
}

void frames_make(struct random *random, enum socket_kind kind, struct buffer *out)
{
	if (kind == SOCKET_DATA)
		put_data(random, out);
	else
		put_control(random, out);
}

/* --- what is not --- */

void frames_break(struct random *random, struct buffer *out)
{
	static const char payload[300] = "payload";
	uint32_t kind = random_below(random, 11);

	switch (kind) {
	case 0: /* without a mask */
		put_head(FRAME_BINARY, 0, 7, 7, out);
		append(out, payload, 7);
		break;
	case 1: /* a kind that there is not */
		frame_put(random, FRAME_LAST | (3 + random_below(random, 5)), payload, 7, out);
		break;
	case 2:
		frame_put(random, FRAME_LAST | (11 + random_below(random, 5)), payload, 7, out);
		break;
	case 3: /* reserved bits */
		frame_put(random, FRAME_BINARY | (16U << random_below(random, 3)), payload, 7, out);
		break;
	case 4: /* a control frame that is too long, or goes on */
		frame_put(random, FRAME_PING, payload, sizeof(payload), out);
		break;
	case 5:
		frame_put(random, FRAME_CLOSING & ~FRAME_LAST, payload, 2, out);
		break;
	case 6: /* goes on with nothing */
		frame_put(random, FRAME_LAST, payload, 7, out);
		break;
	case 7: /* a length that nobody sends */
		put_head(FRAME_BINARY, MASK, 64, random_next(random), out);
		append(out, payload, sizeof(payload));
		break;
	case 8: /* lengths that are spelt too long */
		put_head(FRAME_BINARY, MASK, random_percent(random, 50) ? 16 : 64, 7, out);
		put_masked(random, payload, 7, out);
		break;
	case 9: /* a Close frame with half a code, or a code that is none */
		frame_put(random, FRAME_CLOSING, "\x03\xe7\xff", 1 + random_below(random, 3), out);
		break;
	default:
		for (uint32_t count = 1 + random_below(random, 40); count > 0; count--)
			append(out, &(char){(char)random_next(random)}, 1);
	}
}
