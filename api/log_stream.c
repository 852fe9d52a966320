// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes are taken from the source in small blocks, and what they become is kept in `made` until the client takes it:
 * that is all the memory that a client costs who does not read. A block is divided where the time changes, and at
 * boots.
 */
#include "api/log_stream.h"

#include "api/log_source.h"
#include "instances/drawing.h"
#include "instances/instance.h"
#include "render/asciicast.h"
#include "render/plain.h"
#include "util/buffer.h"
#include "util/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define BLOCK 1024           /* bytes of the log at a time */
#define MADE_MAX (64 * 1024) /* what they may become: each byte a line with its time, or an event */
#define NOTICE_MAX 64        /* "[consoled: N bytes skipped]" with what is around it */

struct log_stream {
	struct log_query query;
	struct log_source source;
	struct instance_reader reader; /* in no list unless it follows */
	struct response *response;
	struct plain plain;
	struct asciicast asciicast;
	uint32_t boot; /* the last one that is marked */
	bool in_line;  /* what has been made ends within a line */
	struct buffer made;
	size_t taken; /* of it */
};

static int append(struct log_stream *stream, const char *text, size_t length)
{
	return buffer_append(&stream->made, text, length, MADE_MAX);
}

/* --- text --- */

static int append_time(struct log_stream *stream, int64_t time)
{
	char text[TIMESTAMP_LENGTH + 2];

	timestamp_format(time, text);
	strcat(text, " ");
	return append(stream, text, strlen(text));
}

/* Appends a piece of text, with the time before each line that begins in it if that is wanted. */
static int append_text(struct log_stream *stream, int64_t time, const char *text, size_t length)
{
	int r = 0;

	while (r == 0 && length > 0) {
		const char *newline = memchr(text, '\n', length);
		size_t part = newline ? (size_t)(newline + 1 - text) : length;

		if (stream->query.timestamps && !stream->in_line)
			r = append_time(stream, time);
		if (r == 0)
			r = append(stream, text, part);
		stream->in_line = !newline;
		text += part;
		length -= part;
	}
	return r;
}

static int make_raw(struct log_stream *stream, int64_t time, const char *data, size_t length)
{
	return append_text(stream, time, data, length);
}

static int make_plain(struct log_stream *stream, int64_t time, const char *data, size_t length)
{
	char text[PLAIN_ROOM(BLOCK)];

	return append_text(stream, time, text, plain_feed(&stream->plain, data, length, text));
}

static int note_in_text(struct log_stream *stream, int64_t time, const char *notice)
{
	const char *end = stream->query.format == LOG_RAW ? "\r\n" : "\n";
	char line[NOTICE_MAX];

	snprintf(line, sizeof(line), "%s%s", notice, end);
	stream->plain = (struct plain){0}; /* it goes on in the midst of anything */
	if (stream->in_line && append_text(stream, time, end, strlen(end)) < 0)
		return -ENOMEM;
	return append_text(stream, time, line, strlen(line));
}

/* --- recordings --- */

static int make_event(struct log_stream *stream, int64_t time, const char *data, size_t length)
{
	return asciicast_output(&stream->asciicast, time, data, length, &stream->made, MADE_MAX);
}

static int note_in_recording(struct log_stream *stream, int64_t time, const char *notice)
{
	return asciicast_marker(&stream->asciicast, time, notice, &stream->made, MADE_MAX);
}

/* Marks the boots that have begun at `offset` or before, and lowers `*until` to the next. */
static int mark_boots(struct log_stream *stream, uint64_t offset, uint64_t *until)
{
	const struct ring_boot *boot;
	char text[32];
	int r = 0;

	while (r == 0 && (boot = log_source_boot(&stream->source, stream->boot)) && boot->offset <= offset) {
		snprintf(text, sizeof(text), "boot %" PRIu32, boot->number);
		r = asciicast_marker(&stream->asciicast, boot->time, text, &stream->made, MADE_MAX);
		stream->boot = boot->number;
	}
	if (boot && boot->offset > offset)
		*until = MIN(*until, boot->offset);
	return r;
}

static int begin_recording(struct log_stream *stream, const struct log_range *range, const struct instance *instance)
{
	const struct ring *ring = console_ring(instance->console);
	const struct ring_boot *boot;
	uint16_t width, height;
	uint64_t until;
	int64_t began = ring_time_at(ring, range->from, &until);

	if (range->from == range->to)
		began = timestamp_now();
	else if (!began) /* not known: as late as it may have been */
		began = ring_time_at(ring, until, NULL);
	while ((boot = log_source_boot(&stream->source, stream->boot)) && boot->offset < range->from)
		stream->boot = boot->number;
	drawing_size(instance->console, &width, &height);
	return asciicast_begin(&stream->asciicast, width, height, began, instance->row.name, &stream->made, MADE_MAX);
}

/* --- all formats --- */

static const struct {
	const char *content_type;
	int (*make)(struct log_stream *stream, int64_t time, const char *data, size_t length);
	int (*note)(struct log_stream *stream, int64_t time, const char *notice);
} formats[] = {
	[LOG_RAW] = {"application/octet-stream", make_raw, note_in_text},
	[LOG_PLAIN] = {"text/plain; charset=utf-8", make_plain, note_in_text},
	[LOG_ASCIICAST] = {"application/x-asciicast", make_event, note_in_recording},
};

static void write_notice(char text[static NOTICE_MAX], uint64_t lost)
{
	snprintf(text, NOTICE_MAX, "[consoled: %" PRIu64 " bytes skipped]", lost);
}

/* Whether bytes go from the ring to the client as they are. */
static bool verbatim(const struct log_stream *stream)
{
	return stream->query.format == LOG_RAW && !stream->query.timestamps;
}

static bool timed(const struct log_stream *stream)
{
	return stream->query.timestamps || stream->query.format == LOG_ASCIICAST;
}

/* Makes what a block, which ends at the source's offset, becomes. */
static int make(struct log_stream *stream, const char *block, size_t length, uint64_t lost)
{
	enum log_format format = stream->query.format;
	uint64_t offset = stream->source.offset - length, until = UINT64_MAX;
	char notice[NOTICE_MAX];
	int64_t time = 0;
	int r = 0;

	write_notice(notice, lost);
	while (r == 0 && length > 0) {
		size_t part;

		if (timed(stream))
			time = log_source_time(&stream->source, offset, &until);
		if (lost && !stream->query.quiet)
			r = formats[format].note(stream, time, notice);
		lost = 0;
		if (r == 0 && format == LOG_ASCIICAST)
			r = mark_boots(stream, offset, &until);
		part = MIN(length, until - offset);
		if (r == 0)
			r = formats[format].make(stream, time, block, part);
		block += part;
		offset += part;
		length -= part;
	}
	return r;
}

/* The source has nothing: that was all, nothing yet, or the instance is gone with what had not been read. */
static int end_of(const struct log_stream *stream)
{
	if (stream->source.offset >= stream->source.end)
		return 0;
	return stream->source.ring ? -EAGAIN : -ENOENT;
}

static ssize_t read_verbatim(struct log_stream *stream, char *data, size_t size)
{
	char notice[NOTICE_MAX], line[NOTICE_MAX];
	uint64_t lost;
	size_t got = log_source_read(&stream->source, data, size - NOTICE_MAX, &lost), length;

	if (lost && !stream->query.quiet) {
		write_notice(notice, lost);
		length = (size_t)snprintf(line, sizeof(line), "\r\n%s\r\n", notice);
		memmove(data + length, data, got);
		memcpy(data, line, length);
		got += length;
	}
	return got ? (ssize_t)got : end_of(stream);
}

/* Takes off what has been made. */
static size_t take(struct log_stream *stream, char *data, size_t size)
{
	size_t length = MIN(size, stream->made.length - stream->taken);

	memcpy(data, stream->made.data + stream->taken, length);
	stream->taken += length;
	if (stream->taken == stream->made.length)
		stream->taken = stream->made.length = 0;
	return length;
}

static ssize_t read_made(struct log_stream *stream, char *data, size_t size)
{
	size_t used = 0;
	int r;

	while (used < size) {
		char block[BLOCK];
		uint64_t lost;
		size_t length;

		if (stream->made.length) {
			used += take(stream, data + used, size - used);
			continue;
		}
		length = log_source_read(&stream->source, block, sizeof(block), &lost);
		if (length == 0)
			break;
		r = make(stream, block, length, lost);
		if (r < 0)
			return r;
	}
	return used ? (ssize_t)used : end_of(stream);
}

static ssize_t read_log(struct response *response, char *data, size_t size)
{
	struct log_stream *stream = response->context;

	return verbatim(stream) ? read_verbatim(stream, data, size) : read_made(stream, data, size);
}

static void free_stream(struct log_stream *stream)
{
	list_remove(&stream->reader.link);
	log_source_finish(&stream->source);
	buffer_finish(&stream->made);
	free(stream);
}

static void on_finished(struct response *response)
{
	free_stream(response->context);
}

static const struct response_stream body = {.read = read_log, .finished = on_finished};

/* --- following --- */

static void on_output(struct instance_reader *reader)
{
	response_more(container_of(reader, struct log_stream, reader)->response);
}

static void on_ended(struct instance_reader *reader)
{
	struct log_stream *stream = container_of(reader, struct log_stream, reader);

	stream->source.end = MIN(stream->source.end, ring_head(stream->source.ring));
	response_more(stream->response);
}

static void on_gone(struct instance_reader *reader)
{
	struct log_stream *stream = container_of(reader, struct log_stream, reader);

	stream->source.ring = NULL;
	response_more(stream->response);
}

static void follow(struct log_stream *stream, struct instance *instance, uint64_t offset)
{
	log_source_follow(&stream->source, console_ring(instance->console), offset);
	stream->reader.output = on_output;
	stream->reader.ended = on_ended;
	stream->reader.gone = on_gone;
	list_append(&instance->readers, &stream->reader.link);
}

static int prepare(struct log_stream *stream, const struct log_range *range, struct instance *instance)
{
	const struct ring *ring = console_ring(instance->console);
	int r = 0;

	if (stream->query.follow)
		follow(stream, instance, range->from);
	else
		r = log_source_copy(&stream->source, ring, range, timed(stream));
	if (r == 0 && stream->query.format == LOG_ASCIICAST)
		r = begin_recording(stream, range, instance);
	return r;
}

int log_stream(const struct log_query *query, const struct log_range *range, struct instance *instance,
	       struct response *response)
{
	struct log_stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return -ENOMEM;
	stream->query = *query;
	stream->response = response;
	list_init(&stream->reader.link);
	r = prepare(stream, range, instance);
	if (r == 0)
		r = response_streamed(response, formats[query->format].content_type, RESPONSE_LENGTH_UNKNOWN, &body,
				      stream);
	if (r < 0) {
		free_stream(stream);
		return r;
	}
	response->held = log_source_size(&stream->source);
	return 0;
}
