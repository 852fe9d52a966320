// SPDX-License-Identifier: Apache-2.0
#include "tests/live/answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX (64 * 1024)
#define BODY_MAX (256 * 1024 * 1024)

/* How an answer ends. */
struct framing {
	bool has_length, chunked;
	uint64_t length;
};

static enum verdict broken(const char **why, const char *reason)
{
	*why = reason;
	return TAKE_BROKEN;
}

/* --- the head --- */

static bool parse_status(const char *line, struct answer *answer)
{
	if (strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0)
		return false;
	for (int i = 9; i < 12; i++)
		if (!isdigit((unsigned char)line[i]))
			return false;
	answer->status = (unsigned int)atoi(line + 9);
	return line[12] == ' ' && answer->status >= 100 && answer->status < 600;
}

static bool is_text(const char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' && *line != '\t')
			return false;
	return true;
}

static const char *parse_field(const char *line, struct answer *answer, struct framing *framing)
{
	const char *colon = strchr(line, ':'), *value;
	char *end;

	if (!colon || colon == line || strcspn(line, " \t") < (size_t)(colon - line) || !is_text(line))
		return "a header that is none";
	value = colon + 1 + strspn(colon + 1, " \t");
	if (strncasecmp(line, "Content-Length:", 15) == 0) {
		if (framing->has_length || !isdigit((unsigned char)*value))
			return "a Content-Length that is none";
		framing->has_length = true;
		framing->length = strtoull(value, &end, 10);
		return *end ? "a Content-Length that is none" : NULL;
	}
	if (strncasecmp(line, "Transfer-Encoding:", 18) == 0) {
		framing->chunked = strcasecmp(value, "chunked") == 0;
		return framing->chunked ? NULL : "a Transfer-Encoding that nobody knows";
	}
	if (strncasecmp(line, "Connection:", 11) == 0 && strcasecmp(value, "close") == 0)
		answer->closes = true;
	if (strncasecmp(line, "Content-Type:", 13) == 0)
		snprintf(answer->type, sizeof(answer->type), "%s", value);
	return NULL;
}

static const char *parse_head(char *head, struct answer *answer, struct framing *framing)
{
	char *line = head, *next;
	const char *why = NULL;

	for (; !why && *line; line = next) {
		next = strstr(line, "\r\n");
		*next = '\0';
		next += 2;
		if (line != head)
			why = parse_field(line, answer, framing);
		else if (!parse_status(line, answer))
			why = "a status line that is none";
	}
	return why;
}

/* --- the body --- */

/* Takes chunks from `*at` on, which is moved behind the last. */
static enum verdict take_chunks(const char **at, const char *end, struct answer *answer, const char **why)
{
	for (;;) {
		const char *line = memmem(*at, (size_t)(end - *at), "\r\n", 2), *data;
		unsigned long length;
		char *stop;

		if (!line)
			return TAKE_MORE;
		data = line + 2;
		length = strtoul(*at, &stop, 16);
		if (stop == *at || (*stop != '\r' && *stop != ';') || length > BODY_MAX)
			return broken(why, "a chunk's length that is none");
		if ((size_t)(end - data) < length + 2)
			return TAKE_MORE;
		if (memcmp(data + length, "\r\n", 2) != 0)
			return broken(why, "a chunk that does not end where it says");
		buffer_append(&answer->body, data, length, BODY_MAX);
		*at = data + length + 2;
		if (length == 0)
			return TAKE_WHOLE;
	}
}

static enum verdict take_body(const struct framing *framing, const char **at, const char *end, bool ended,
			      struct answer *answer, const char **why)
{
	uint64_t length = framing->has_length ? framing->length : (uint64_t)(end - *at);

	if (framing->chunked)
		return take_chunks(at, end, answer, why);
	if (!framing->has_length && !answer->closes)
		return broken(why, "an answer that does not say where it ends");
	if (framing->has_length ? (uint64_t)(end - *at) < length : !ended)
		return TAKE_MORE;
	buffer_append(&answer->body, *at, length, BODY_MAX);
	*at += length;
	return TAKE_WHOLE;
}

static bool has_body(const struct answer *answer, bool headless)
{
	return !headless && answer->status >= 200 && answer->status != 204 && answer->status != 304;
}

enum verdict answer_take(struct answer *answer, struct buffer *in, bool headless, bool ended, const char **why)
{
	const char *end = in->data + in->length, *at;
	char *blank = in->length ? memmem(in->data, in->length, "\r\n\r\n", 4) : NULL;
	struct framing framing = {0};
	enum verdict verdict = TAKE_WHOLE;
	char *head;

	*answer = (struct answer){0};
	if (!blank)
		return in->length > HEAD_MAX ? broken(why, "a head that does not end") : TAKE_MORE;
	at = blank + 4;
	head = strndup(in->data, (size_t)(blank + 2 - in->data));
	*why = strlen(head) == (size_t)(blank + 2 - in->data) ? parse_head(head, answer, &framing) : "a NUL in a head";
	free(head);
	if (*why)
		return TAKE_BROKEN;
	if (has_body(answer, headless))
		verdict = take_body(&framing, &at, end, ended, answer, why);
	if (verdict != TAKE_WHOLE) {
		answer_finish(answer);
		return verdict;
	}
	buffer_consume(in, (size_t)(at - in->data));
	if (answer->body.length > 0 && strcmp(answer->type, "application/json") == 0)
		answer->json = json_loadb(answer->body.data, answer->body.length, 0, NULL);
	return TAKE_WHOLE;
}

void answer_finish(struct answer *answer)
{
	buffer_finish(&answer->body);
	json_decref(answer->json);
	answer->json = NULL;
}

/* --- what LXD would say --- */

static const char *check_envelope(const struct answer *answer)
{
	const char *type = json_string_value(json_object_get(answer->json, "type"));
	const char *error = json_string_value(json_object_get(answer->json, "error"));
	json_int_t code = json_integer_value(json_object_get(answer->json, "error_code"));
	const char *expected = answer->status >= 400 ? "error" : answer->status == 202 ? "async" : "sync";

	if (!type || !error || strcmp(type, expected) != 0)
		return "an envelope of the wrong type";
	if (answer->status >= 400 ? code != (json_int_t)answer->status || !*error : code != 0 || *error)
		return "an envelope whose error is not the status";
	return json_object_get(answer->json, "metadata") ? NULL : "an envelope without metadata";
}

/* What may be wrong with the server: limits, what is not there, and what LXD calls 500 although it is the client's. */
static bool is_documented(const struct answer *answer, const char *method)
{
	static const char *const texts[] = {
		"Invalid instance type",
		"Invalid filter: ",
		"missing secret",
		"Invalid value for type parameter: ",
		"strconv.Atoi: parsing ",
		"Project not found",
		"Cannot specify a project ",
		"not implemented",
		"Too many ",
	};
	const char *error = json_string_value(json_object_get(answer->json, "error"));

	if (answer->status == 505 || (answer->status == 501 && !answer->json)) /* no HTTP of ours; an unknown coding */
		return true;
	for (size_t i = 0; error && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strncmp(error, texts[i], strlen(texts[i])) == 0)
			return true;
	if (error && strstr(error, " isn't a supported event type"))
		return true;
	return error && answer->status == 500 && strcmp(method, "PATCH") == 0 &&
	       strcmp(error, "Cannot allocate memory") != 0;
}

const char *answer_check(const struct answer *answer, const char *method)
{
	const char *why = NULL;

	if (strcmp(answer->type, "application/json") == 0 && answer->body.length > 0)
		why = answer->json ? check_envelope(answer) : "JSON that is none";
	if (!why && answer->status >= 500 && strcmp(method, "HEAD") != 0 && !is_documented(answer, method))
		why = "an error of the server that nobody has documented";
	return why;
}

/* --- frames --- */

static const char *check_header(unsigned int first, unsigned int second)
{
	unsigned int opcode = first & 15;

	if (first & 0x70)
		return "a frame with reserved bits";
	if (second & 0x80)
		return "a frame with a mask, from a server";
	if (opcode != 0 && opcode != 1 && opcode != 2 && (opcode < 8 || opcode > 10))
		return "a frame of an unknown kind";
	if (opcode >= 8 && (!(first & 0x80) || (second & 127) > 125))
		return "a control frame that is too long, or in pieces";
	return NULL;
}

enum verdict frame_look(struct frame *frame, const struct buffer *in, const char **why)
{
	const unsigned char *bytes = (const unsigned char *)in->data;
	size_t head = 2;

	if (in->length < 2)
		return TAKE_MORE;
	*why = check_header(bytes[0], bytes[1]);
	if (*why)
		return TAKE_BROKEN;
	*frame = (struct frame){.opcode = bytes[0] & 15, .last = bytes[0] & 128, .length = bytes[1] & 127};
	head += frame->length == 126 ? 2 : frame->length == 127 ? 8 : 0;
	if (in->length < head)
		return TAKE_MORE;
	if (head > 2)
		frame->length = 0;
	for (size_t i = 2; i < head; i++)
		frame->length = frame->length << 8 | bytes[i];
	if ((head == 4 && frame->length < 126) || (head == 10 && frame->length < 65536))
		return broken(why, "a frame's length that is spelt too long");
	if (frame->length > BODY_MAX)
		return broken(why, "a frame that is too long");
	frame->size = head + frame->length;
	frame->payload = in->data + head;
	return in->length < frame->size ? TAKE_MORE : TAKE_WHOLE;
}
