// SPDX-License-Identifier: Apache-2.0
/*
 * The log as lines of plain text (render/plain.h), each with where in the log it is. It is read at the reader's own
 * pace, which holds nobody back: what is overwritten before it has been read is lost, and counted.
 */
#pragma once

#include "pty/ring.h"
#include "render/plain.h"

#define LINES_TEXT_MAX 4096 /* a longer line counts as several */
#define LINES_RAW 4096

struct lines {
	size_t length; /* of the line in `text`, without its newline */
	char text[LINES_TEXT_MAX];
	uint64_t begin; /* the offset of its first byte */
	uint64_t end;   /* behind its newline; where it has none yet: behind what has been read */
	uint64_t lost;  /* bytes that were overwritten before they were read */

	/* The rest is private. */
	bool whole;      /* the line is; the next call goes on behind it */
	size_t taken;    /* of `text`: the line and its newline */
	size_t filled;   /* of `text`: that, and what belongs to the next line */
	uint64_t next;   /* the offset of the next line's first byte */
	uint64_t behind; /* the last newline or carriage return */
	uint64_t offset; /* of the first byte of `raw` that has yet to become text */
	bool at_return;  /* `offset` is just behind one of those */
	struct plain plain;
	size_t raw_at, raw_filled;
	char raw[LINES_RAW];
};

/* Begins with the byte at `offset`, which becomes the first of a line. */
void lines_init(struct lines *lines, uint64_t offset);

/* Where the line begins that is the last before `offset`, as far as can be told from the 16 KiB before. */
uint64_t lines_find(const struct ring *ring, uint64_t offset);

/*
 * Goes on to the next line, or reads on in one that had no end yet, but not beyond `limit`. true: `text` is a whole
 * line. false: nothing more can be read, and `text` is what there is of a line, if anything.
 */
bool lines_next(struct lines *lines, const struct ring *ring, uint64_t limit);
