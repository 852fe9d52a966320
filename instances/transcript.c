// SPDX-License-Identifier: Apache-2.0
#include "instances/transcript.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#define BOOTS_MAX 64 /* that a ring knows of */

static const struct ring *ring_of(const struct transcript *transcript)
{
	return console_ring(transcript->console);
}

void transcript_init(struct transcript *transcript, struct console *console, bool quiet)
{
	*transcript = (struct transcript){.console = console, .quiet = quiet};
	list_init(&transcript->cursor.link);
}

/* The boot that `offset` is in, as far as the ring knows. */
static uint32_t boot_at(const struct ring *ring, uint64_t offset)
{
	struct ring_boot boots[BOOTS_MAX];
	size_t count = ring_boots(ring, boots, BOOTS_MAX);
	uint32_t number = count ? boots[0].number - 1 : 0;

	for (size_t i = 0; i < count && boots[i].offset <= offset; i++)
		number = boots[i].number;
	return number;
}

void transcript_begin(struct transcript *transcript, uint64_t offset, uint64_t began)
{
	cursor_init(&transcript->cursor, transcript->console, offset);
	transcript->began = began;
	transcript->boot = boot_at(ring_of(transcript), began);
}

void transcript_finish(struct transcript *transcript)
{
	cursor_finish(&transcript->cursor, transcript->console);
}

void transcript_end(struct transcript *transcript, uint64_t end)
{
	transcript->ended = true;
	transcript->end = end;
}

uint64_t transcript_until(const struct transcript *transcript)
{
	return transcript->ended ? transcript->end : ring_head(ring_of(transcript));
}

uint64_t transcript_behind(const struct transcript *transcript)
{
	uint64_t until = transcript_until(transcript);

	return until > transcript->cursor.offset ? until - transcript->cursor.offset : 0;
}

/*
 * Of the boots that the client does not know of it gets to know those that begin at its offset or before (true: there
 * is such a one). `*size` becomes what is left in front of the next, if that is less.
 */
static bool enter_boot(struct transcript *transcript, size_t *size)
{
	struct ring_boot boots[BOOTS_MAX];
	size_t count = ring_boots(ring_of(transcript), boots, 1);
	uint64_t offset = transcript->cursor.offset;
	uint32_t before = transcript->boot;

	if (count == 0 || boots[0].number == before) /* as nearly always */
		return false;
	count = ring_boots(ring_of(transcript), boots, BOOTS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (boots[i].number <= before)
			continue;
		if (boots[i].offset > offset) {
			*size = (size_t)MIN(*size, boots[i].offset - offset);
			break;
		}
		transcript->boot = boots[i].number;
	}
	return transcript->boot != before;
}

size_t transcript_note(char note[static TRANSCRIPT_NOTE_SIZE], const char *format, ...)
{
	char words[TRANSCRIPT_NOTE_SIZE - 16];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return (size_t)snprintf(note, TRANSCRIPT_NOTE_SIZE, "\r\n[consoled: %s]\r\n", words);
}

size_t transcript_read(struct transcript *transcript, char *data, size_t size)
{
	char notes[2 * TRANSCRIPT_NOTE_SIZE];
	uint64_t lost = 0, from = transcript->cursor.offset;
	size_t length = 0;

	if (enter_boot(transcript, &size))
		length = transcript_note(notes, "restarted, boot %" PRIu32, transcript->boot);
	size = cursor_read(&transcript->cursor, transcript->console, data, size, &lost);
	if (transcript->ended && transcript->cursor.offset > transcript->end) { /* the next boot has overwritten it */
		size -= (size_t)MIN(size, transcript->cursor.offset - transcript->end);
		lost = MIN(lost, transcript->end - from);
	}
	if (lost)
		length += transcript_note(notes + length, "%" PRIu64 " bytes skipped", lost);
	transcript->skipped += lost;
	if (length && !transcript->quiet) { /* rare, so it may cost a move */
		memmove(data + length, data, size);
		memcpy(data, notes, length);
		size += length;
	}
	return size;
}
