// SPDX-License-Identifier: Apache-2.0
/*
 * A terminal's output as plain text: escape and control sequences (ECMA-48), control bytes and what is no UTF-8 left
 * out, so that it can be shown anywhere and grepped. Works on any pieces of the stream, at a copy's cost for text.
 *
 * A sequence or string that does not end within PARSER_SEQUENCE_MAX bytes is given up: these bytes are lost, what
 * follows is text again.
 */
#pragma once

#include "render/parser.h"

#include <stddef.h>
#include <stdint.h>

/* Where in a sequence, a character or a line the stream is. All zero at the start. */
struct plain {
	struct parser parser;
	uint8_t written;  /* the line has something on it */
	uint8_t returned; /* and a carriage return waits for what follows it */
};

/* What plain_feed() may write for `length` bytes. */
#define PLAIN_ROOM(length) (3 * (length) + 4)

/*
 * Takes `length` bytes and writes their text to `out`, which has room for PLAIN_ROOM(length); returns how much. Tabs
 * stay; each longest piece of a character that is invalid becomes U+FFFD. Lines end with \n: \n ends one always, \r one
 * that has something on it and that more is printed for (a progress bar's next state). So \r\n, \r\r\n and \n\r give
 * one newline, \n\n two.
 */
size_t plain_feed(struct plain *plain, const char *data, size_t length, char *out);
