// SPDX-License-Identifier: Apache-2.0
#include "util/words.h"
#include "util/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\n"

/* Where a word is read from and written to. Nothing read gives more than itself, so the copy needs no more space. */
struct cursor {
	const char *from;
	char *to;
};

/* Blanks, and lines that are continued: a backslash before a newline is nothing at all, not even a word. */
static void skip_blanks(struct cursor *cursor)
{
	for (;;) {
		cursor->from += strspn(cursor->from, BLANKS);
		if (strncmp(cursor->from, "\\\n", 2) != 0)
			return;
		cursor->from += 2;
	}
}

static int take_single_quoted(struct cursor *cursor, struct error *error)
{
	const char *end = strchr(cursor->from, '\'');

	if (!end)
		return error_set(error, -EINVAL, "unfinished quote: '%s", cursor->from);
	cursor->to = mempcpy(cursor->to, cursor->from, end - cursor->from);
	cursor->from = end + 1;
	return 0;
}

static int take_double_quoted(struct cursor *cursor, struct error *error)
{
	const char *start = cursor->from;
	char c;

	while ((c = *cursor->from++) != '"') {
		if (c == '\\' && *cursor->from && strchr("$`\"\\\n", *cursor->from)) {
			c = *cursor->from++;
			if (c == '\n')
				continue;
		}
		if (!c)
			return error_set(error, -EINVAL, "unfinished quote: \"%s", start);
		*cursor->to++ = c;
	}
	return 0;
}

static int take_escaped(struct cursor *cursor, struct error *error)
{
	char c = *cursor->from++;

	if (!c)
		return error_set(error, -EINVAL, "trailing backslash");
	if (c != '\n')
		*cursor->to++ = c;
	return 0;
}

static int take_word(struct cursor *cursor, struct error *error)
{
	int r = 0;

	while (r == 0 && *cursor->from && !strchr(BLANKS, *cursor->from)) {
		char c = *cursor->from++;

		if (c == '\'')
			r = take_single_quoted(cursor, error);
		else if (c == '"')
			r = take_double_quoted(cursor, error);
		else if (c == '\\')
			r = take_escaped(cursor, error);
		else
			*cursor->to++ = c;
	}
	*cursor->to++ = '\0';
	return r;
}

int words_split(const char *text, char ***words, struct error *error)
{
	size_t length = strlen(text), most = (length + 1) / 2, count = 0; /* "a b": a word and what ends it */
	cleanup_free char **vector = malloc((most + 1) * sizeof(*vector) + length + 1);
	struct cursor cursor = {.from = text};

	if (!vector)
		return error_set(error, -ENOMEM, "out of memory");
	cursor.to = (char *)(vector + most + 1);
	for (skip_blanks(&cursor); *cursor.from; skip_blanks(&cursor)) {
		int r;

		vector[count++] = cursor.to;
		r = take_word(&cursor, error);
		if (r < 0)
			return r;
	}
	vector[count] = NULL;
	*words = move_pointer(vector);
	return 0;
}
