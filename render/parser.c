// SPDX-License-Identifier: Apache-2.0
#include "render/parser.h"

#include "render/utf8.h"

#include <string.h>

enum {
	GROUND,
	ESCAPE,     /* behind ESC */
	CONTROL,    /* behind CSI */
	STRING,     /* behind OSC, DCS, SOS, PM, APC */
	STRING_ESC, /* ESC in a string: its end, if \ follows */
};

#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b
#define DEL 0x7f

struct reader {
	struct parser *parser;
	const struct parser_events *events;
	void *user;
};

static void found_text(const struct reader *reader, const void *text, size_t length)
{
	if (length && reader->events->text)
		reader->events->text(reader->user, text, length);
}

static void found_control(const struct reader *reader, uint8_t code)
{
	if (code && code != CAN && code != SUB && code != DEL && reader->events->control)
		reader->events->control(reader->user, (char)code);
}

/* A character U+0080 to U+009F. */
static int is_c1(const uint8_t *bytes, int length)
{
	return length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
}

/* Is one of these eight bytes something else than printable ASCII? */
static int has_other(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return ((word - 0x2020202020202020) | (word + 0x0101010101010101) | word) & 0x8080808080808080 ? 1 : 0;
}

/* How many bytes are whole characters and no controls. */
static size_t text_length(const uint8_t *bytes, size_t length)
{
	size_t at = 0;

	while (at < length) {
		int character;

		if (length - at >= 8 && !has_other(bytes + at)) {
			at += 8;
			continue;
		}
		character = utf8_scan(bytes + at, length - at);
		if (character < 1 || bytes[at] < 0x20 || bytes[at] == DEL || is_c1(bytes + at, character))
			break;
		at += (size_t)character;
	}
	return at;
}

static void begin(struct parser *parser, uint8_t state)
{
	parser->state = state;
	parser->seen = parser->kept = 0;
	parser->kind = parser->bytes[0] = 0;
}

/* Behind ESC, or as a C1 control: what is no sequence of its own begins one here. */
static void escaped(const struct reader *reader, uint8_t final)
{
	uint8_t intermediate = reader->parser->kind;

	begin(reader->parser, GROUND);
	if (!intermediate && final == '[') {
		reader->parser->state = CONTROL;
	} else if (!intermediate && strchr("]PX^_", final)) {
		reader->parser->state = STRING;
		reader->parser->kind = final;
	} else if (intermediate != 0xff && reader->events->escape) {
		reader->events->escape(reader->user, (char)intermediate, (char) final);
	}
}

static void in_escape(const struct reader *reader, uint8_t byte)
{
	struct parser *parser = reader->parser;

	if (byte >= 0x30) {
		escaped(reader, byte);
	} else { /* No escape of use has two intermediates. */
		parser->kind = parser->kind ? 0xff : byte;
		parser->seen++;
	}
}

/* Reads the arguments; returns where they end. */
static size_t read_arguments(const char *text, size_t at, size_t length, struct csi *csi)
{
	for (; at < length && text[at] >= '0' && text[at] <= ';'; at++) {
		uint16_t *argument = &csi->arguments[csi->count];

		if (text[at] <= '9') {
			unsigned int value = *argument * 10U + (unsigned int)(text[at] - '0');

			*argument = value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
			continue;
		}
		if (text[at] == ':' && csi->count + 1 < CSI_ARGUMENTS)
			csi->joined |= 1U << csi->count;
		if (++csi->count == CSI_ARGUMENTS)
			break;
	}
	while (at < length && text[at] >= '0' && text[at] <= ';')
		at++;
	if (csi->count < CSI_ARGUMENTS)
		csi->count++;
	return at;
}

static void found_csi(const struct reader *reader, uint8_t final)
{
	const struct parser *parser = reader->parser;
	struct csi csi = {.final = (char) final};
	size_t at = 0;

	if (parser->kept < parser->seen || !reader->events->csi)
		return;
	if (parser->kept && parser->text[0] >= '<' && parser->text[0] <= '?')
		csi.leader = parser->text[at++];
	at = read_arguments(parser->text, at, parser->kept, &csi);
	if (at < parser->kept && parser->text[at] < '0')
		csi.intermediate = parser->text[at++];
	if (at == parser->kept)
		reader->events->csi(reader->user, &csi);
}

static void keep(struct parser *parser, uint8_t byte)
{
	parser->seen++;
	if (parser->kept < PARSER_KEPT)
		parser->text[parser->kept++] = (char)byte;
}

static void in_control(const struct reader *reader, uint8_t byte)
{
	if (byte < 0x40) {
		keep(reader->parser, byte);
		return;
	}
	found_csi(reader, byte);
	begin(reader->parser, GROUND);
}

static void found_string(const struct reader *reader)
{
	struct parser *parser = reader->parser;

	if (parser->kind == ']' && reader->events->command)
		reader->events->command(reader->user, parser->text, parser->kept);
	begin(parser, GROUND);
}

/* Takes every byte, unlike the other states: BEL ends it as ST does, ESC \ or U+009C. */
static void in_string(const struct reader *reader, uint8_t byte)
{
	struct parser *parser = reader->parser;

	if (byte == BEL) {
		found_string(reader);
	} else if (byte == 0x9c && parser->bytes[0] == 0xc2) {
		if (parser->kept && parser->kept == parser->seen)
			parser->kept--;
		found_string(reader);
	} else if (byte >= 0x20) {
		keep(parser, byte);
		parser->bytes[0] = byte;
	}
}

/* A byte of a sequence. False: it was none, and the sequence is given up. */
static int in_sequence(const struct reader *reader, uint8_t byte)
{
	struct parser *parser = reader->parser;

	if (byte == CAN || byte == SUB || parser->seen >= PARSER_SEQUENCE_MAX) {
		begin(parser, GROUND);
		return byte == CAN || byte == SUB;
	}
	if (byte == ESC) {
		if (parser->state == STRING)
			parser->state = STRING_ESC;
		else
			begin(parser, ESCAPE);
		return 1;
	}
	if (parser->state == STRING_ESC) {
		if (byte == '\\') {
			found_string(reader);
			return 1;
		}
		begin(parser, ESCAPE);
	}
	if (parser->state == STRING) {
		in_string(reader, byte);
	} else if (byte >= 0x80) {
		begin(parser, GROUND);
		return 0;
	} else if (byte < 0x20 || byte == DEL) {
		found_control(reader, byte);
	} else if (parser->state == ESCAPE) {
		in_escape(reader, byte);
	} else {
		in_control(reader, byte);
	}
	return 1;
}

/* What utf8_scan() said of `bytes`, which hold no printable ASCII and no whole text; returns how many are done with. */
static size_t found_other(const struct reader *reader, const uint8_t *bytes, int character)
{
	if (character < 0) {
		found_text(reader, UTF8_REPLACEMENT, 3);
		return (size_t)-character;
	}
	if (is_c1(bytes, character)) {
		begin(reader->parser, GROUND);
		escaped(reader, bytes[1] - 0x40);
	} else if (character > 1) {
		found_text(reader, bytes, (size_t)character);
	} else if (bytes[0] == ESC) {
		begin(reader->parser, ESCAPE);
	} else {
		found_control(reader, bytes[0]);
	}
	return (size_t)character;
}

/* The next byte for the character that was cut off. False: it is not of it. */
static int complete(const struct reader *reader, uint8_t byte)
{
	struct parser *parser = reader->parser;
	uint8_t bytes[4];
	int character, held = parser->held;

	parser->bytes[held] = byte;
	memcpy(bytes, parser->bytes, sizeof(bytes));
	character = utf8_scan(bytes, (size_t)held + 1);
	parser->held = character ? 0 : (uint8_t)(held + 1);
	if (character)
		found_other(reader, bytes, character);
	return character >= 0;
}

static size_t in_ground(const struct reader *reader, const uint8_t *bytes, size_t length)
{
	struct parser *parser = reader->parser;
	size_t text;
	int character;

	if (parser->held)
		return (size_t)complete(reader, bytes[0]);
	text = text_length(bytes, length);
	found_text(reader, bytes, text);
	if (text)
		return text;
	character = utf8_scan(bytes, length);
	if (character)
		return found_other(reader, bytes, character);
	memcpy(parser->bytes, bytes, length);
	parser->held = (uint8_t)length;
	return length;
}

void parser_feed(struct parser *parser, const struct parser_events *events, void *user, const char *data, size_t length)
{
	struct reader reader = {.parser = parser, .events = events, .user = user};
	const uint8_t *bytes = (const uint8_t *)data;
	size_t at = 0;

	while (at < length) {
		if (parser->state == GROUND)
			at += in_ground(&reader, bytes + at, length - at);
		else
			at += (size_t)in_sequence(&reader, bytes[at]);
	}
}

size_t parser_unfinished(const struct parser *parser, char *out)
{
	size_t length = 0;

	if (parser->state == GROUND) {
		memcpy(out, parser->bytes, parser->held);
		return parser->held;
	}
	out[length++] = ESC;
	if (parser->state == ESCAPE) {
		/* Two of them are as bad as any two. */
		memset(out + length, parser->kind == 0xff ? ' ' : parser->kind, 2);
		return length + (parser->kind == 0xff ? 2 : parser->kind ? 1 : 0);
	}
	out[length++] = parser->state == CONTROL ? '[' : (char)parser->kind;
	if (parser->state == CONTROL && parser->kept < parser->seen) {
		/* Too long to be obeyed; so is what no sequence begins with. */
		memcpy(out + length, "<<", 2);
		return length + 2;
	}
	memcpy(out + length, parser->text, parser->kept);
	length += parser->kept;
	if (parser->kept < parser->seen)
		out[length++] = (char)parser->bytes[0];
	if (parser->state == STRING_ESC)
		out[length++] = ESC;
	return length;
}
