// SPDX-License-Identifier: Apache-2.0
/* Words that were split, quoted and joined again split into the same words. */
#include "util/cleanup.h"
#include "util/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends `word` in single quotes, and a blank. */
static char *quote(char *to, const char *word)
{
	*to++ = '\'';
	for (; *word; word++)
		to = *word == '\'' ? stpcpy(to, "'\\''") : (*to = *word, to + 1);
	return stpcpy(to, "' ");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);
	cleanup_free char *joined = malloc(6 * size + 4); /* at most 4 bytes for each, and 3 for each word */
	cleanup_free char **words = NULL, **again = NULL;
	struct error error = {0};
	char *end = joined;
	size_t i;

	if (words_split(text, &words, &error) < 0) {
		if (!error.text[0])
			abort();
		return 0;
	}
	*end = '\0';
	for (i = 0; words[i]; i++)
		end = quote(end, words[i]);
	if (words_split(joined, &again, NULL) < 0)
		abort();
	for (i = 0; words[i]; i++)
		if (!again[i] || strcmp(words[i], again[i]) != 0)
			abort();
	if (again[i])
		abort();
	return 0;
}
