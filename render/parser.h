// SPDX-License-Identifier: Apache-2.0
/*
 * Takes a terminal's output apart: text, control bytes and the sequences of ECMA-48, as xterm does in its UTF-8 mode.
 * Holds a bounded piece of a sequence, whatever comes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A sequence or string of more bytes is given up, and what follows is text again: one that never ends costs no more. */
#define PARSER_SEQUENCE_MAX 4096

/* More of a sequence than this is not kept: a longer control sequence is ignored, a longer string cut off. */
#define PARSER_KEPT 260

#define CSI_ARGUMENTS 32

/* A control sequence. What it leaves out reads as 0. */
struct csi {
	char leader;       /* one of <=>? or 0 */
	char intermediate; /* 0x20 to 0x2f, or 0 */
	char final;
	uint8_t count; /* at least 1; more than CSI_ARGUMENTS are ignored */
	uint16_t arguments[CSI_ARGUMENTS];
	uint32_t joined; /* a bit for each argument that a colon joins to the next */
};

/* What was found, in order. Any may be NULL. */
struct parser_events {
	/* Whole characters of valid UTF-8, no control among them; what was invalid has become U+FFFD. */
	void (*text)(void *user, const char *text, size_t length);
	/* C0 except NUL, ESC, CAN and SUB, also from within a sequence. */
	void (*control)(void *user, char code);
	/* ESC, `intermediate` or 0, `final`. C1 controls (U+0080 to U+009F) arrive as their ESC 0x40 to 0x5f. */
	void (*escape)(void *user, char intermediate, char final);
	void (*csi)(void *user, const struct csi *csi);
	/* An operating system command (OSC); the other kinds of strings are ignored. Any bytes but C0. */
	void (*command)(void *user, const char *string, size_t length);
};

/* All zero at the start. */
struct parser {
	uint8_t state;
	uint8_t held;     /* bytes of a character that the last piece cut off */
	uint8_t bytes[4]; /* these */
	uint8_t kind;     /* the escape that began a string; an escape's intermediate */
	uint16_t seen;    /* bytes of the sequence so far */
	uint16_t kept;    /* of them that are in `text` */
	char text[PARSER_KEPT];
};

/* Takes any piece of a stream. */
void parser_feed(struct parser *parser, const struct parser_events *events, void *user, const char *data,
		 size_t length);

/*
 * What another parser must be fed to be where this one is: the beginning of a sequence or character that has not ended,
 * most often nothing. At most PARSER_KEPT + 4 bytes; returns how many.
 */
size_t parser_unfinished(const struct parser *parser, char *out);
