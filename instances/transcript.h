// SPDX-License-Identifier: Apache-2.0
/*
 * A console's log as a client is to read it: its bytes from an offset on, with a line of our own where bytes are
 * missing and where a boot begins.
 */
#pragma once

#include "pty/console.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSCRIPT_NOTE_SIZE 96 /* of one line of ours, at most */

struct transcript {
	struct console *console; /* borrowed */
	struct cursor cursor;
	bool quiet;       /* no lines of our own */
	bool ended;       /* with the boot that was read, at `end` */
	uint64_t end;     /* the next boot is not for this client */
	uint64_t began;   /* the offset of the first byte that the client got, or was to get */
	uint64_t skipped; /* bytes */
	uint32_t boot;    /* the latest that the client knows of */
};

void transcript_init(struct transcript *transcript, struct console *console, bool quiet);

/*
 * Reads from `offset` on, and has the log wait for that; what is in front of `began` the client does not get. May be
 * called again.
 */
void transcript_begin(struct transcript *transcript, uint64_t offset, uint64_t began);

/* The console goes on without it. */
void transcript_finish(struct transcript *transcript);

/* There is nothing to be read from `end` on, ever. */
void transcript_end(struct transcript *transcript, uint64_t end);

/* Where it ends for now, or has ended; and how many bytes are left to be read until there. */
uint64_t transcript_until(const struct transcript *transcript);
uint64_t transcript_behind(const struct transcript *transcript);

/*
 * Reads at most `size` bytes, which end where another boot begins, and puts lines of our own in front, for which `data`
 * has to have room: two more TRANSCRIPT_NOTE_SIZE. Returns how many bytes that are.
 */
size_t transcript_read(struct transcript *transcript, char *data, size_t size);

/* A line of our own, cut where it is too long. Returns its length. */
__attribute__((format(printf, 2, 3))) size_t transcript_note(char note[static TRANSCRIPT_NOTE_SIZE], const char *format,
							     ...);
