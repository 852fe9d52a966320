// SPDX-License-Identifier: Apache-2.0
#include "daemon/head.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define KEY_LENGTH 24 /* 16 bytes in base64: 22 digits and "==" */

struct text {
	const char *at;
	size_t length;
};

/* A field that decides. Those that must be there come first, so that a bit each says which have been seen. */
struct rule {
	const char *name;
	bool list; /* may come several times; one that fits is enough */
	bool (*fits)(struct text value);
};

static bool equals(struct text text, const char *word)
{
	return text.length == strlen(word) && strncasecmp(text.at, word, text.length) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct text trim(struct text text)
{
	while (text.length && is_blank(text.at[0])) {
		text.at++;
		text.length--;
	}
	while (text.length && is_blank(text.at[text.length - 1]))
		text.length--;
	return text;
}

/* Whether `word` is in a list of words with commas between them. */
static bool contains(struct text list, const char *word)
{
	while (list.length) {
		const char *comma = memchr(list.at, ',', list.length);
		size_t length = comma ? (size_t)(comma - list.at) : list.length;

		if (equals(trim((struct text){list.at, length}), word))
			return true;
		length += comma != NULL;
		list.at += length;
		list.length -= length;
	}
	return false;
}

static bool fits_any(struct text value)
{
	return true;
}

static bool fits_none(struct text value)
{
	return false;
}

static bool fits_upgrade(struct text value)
{
	return contains(value, "websocket");
}

static bool fits_connection(struct text value)
{
	return contains(value, "upgrade");
}

static bool fits_key(struct text value)
{
	size_t i;

	if (value.length != KEY_LENGTH || memcmp(value.at + KEY_LENGTH - 2, "==", 2) != 0)
		return false;
	for (i = 0; i < KEY_LENGTH - 2; i++)
		if (!isalnum((unsigned char)value.at[i]) && value.at[i] != '+' && value.at[i] != '/')
			return false;
	return true;
}

static bool fits_version(struct text value)
{
	return equals(value, "13");
}

static bool fits_no_body(struct text value)
{
	return equals(value, "0");
}

static const struct rule rules[] = {
	{"Host", false, fits_any},
	{"Upgrade", true, fits_upgrade},
	{"Connection", true, fits_connection},
	{"Sec-WebSocket-Key", false, fits_key},
	{"Sec-WebSocket-Version", false, fits_version},
#define RULES_REQUIRED 5
	/* What follows the head must be frames. */
	{"Content-Length", false, fits_no_body},
	{"Transfer-Encoding", false, fits_none},
};

/* Takes the next line off `rest`, with its LF. */
static bool next_line(struct text *rest, struct text *line)
{
	const char *end = memchr(rest->at, '\n', rest->length);

	if (!end)
		return false;
	*line = (struct text){rest->at, (size_t)(end - rest->at) + 1};
	rest->at += line->length;
	rest->length -= line->length;
	return true;
}

/* Takes the CR LF off a line. */
static bool strip_end(struct text *line)
{
	if (line->length < 2 || line->at[line->length - 2] != '\r')
		return false;
	line->length -= 2;
	return true;
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static bool parse_request_line(struct text line, struct head *head)
{
	static const char method[] = "GET ", version[] = " HTTP/1.1";
	const size_t before = sizeof(method) - 1, after = sizeof(version) - 1;
	size_t i;

	if (line.length <= before + after || memcmp(line.at, method, before) != 0 ||
	    memcmp(line.at + line.length - after, version, after) != 0)
		return false;
	head->target = line.at + before;
	head->target_length = line.length - before - after;
	for (i = 0; i < head->target_length; i++)
		if (head->target[i] == ' ' || is_control(head->target[i]))
			return false;
	return true;
}

/* RFC 7230 section 3.2.6 */
static bool is_token(struct text text)
{
	size_t i;

	for (i = 0; i < text.length; i++)
		if (!isalnum((unsigned char)text.at[i]) && (!text.at[i] || !strchr("!#$%&'*+-.^_`|~", text.at[i])))
			return false;
	return text.length > 0;
}

/* Notes in `seen` which rules a field satisfies. False if there is no handshake any more. */
static bool parse_field(struct text line, unsigned int *seen)
{
	const char *colon = memchr(line.at, ':', line.length);
	struct text name = {line.at, colon ? (size_t)(colon - line.at) : 0}, value;
	size_t i;

	if (!is_token(name))
		return false;
	value = trim((struct text){colon + 1, line.length - name.length - 1});
	for (i = 0; i < value.length; i++)
		if (is_control(value.at[i]) && value.at[i] != '\t')
			return false;
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		bool fits;

		if (!equals(name, rules[i].name))
			continue;
		fits = rules[i].fits(value);
		if (!rules[i].list && (!fits || *seen & 1U << i))
			return false;
		*seen |= (unsigned int)fits << i;
	}
	return true;
}

enum head_verdict head_parse(const char *bytes, size_t length, struct head *head)
{
	struct text rest = {bytes, length < HEAD_MAX ? length : HEAD_MAX}, line;
	const unsigned int required = (1U << RULES_REQUIRED) - 1;
	unsigned int seen = 0;
	bool first = true;

	while (next_line(&rest, &line)) {
		if (first && line.length > 2 && !memchr(line.at, ' ', line.length))
			return HEAD_GARBAGE;
		if (!strip_end(&line))
			return HEAD_PLAIN;
		if (first ? !parse_request_line(line, head) : line.length && !parse_field(line, &seen))
			return HEAD_PLAIN;
		if (!line.length)
			return (seen & required) == required ? HEAD_UPGRADE : HEAD_PLAIN;
		first = false;
	}
	return length < HEAD_MAX ? HEAD_INCOMPLETE : HEAD_PLAIN;
}
