// SPDX-License-Identifier: Apache-2.0
#include "api/range.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#define HTTP_DATE "%a, %d %b %Y %H:%M:%S GMT"

/* A run of digits; what is too large for a size_t is as large as one can be. Moves `*text` behind it. */
static bool parse_number(const char **text, size_t *number)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	*number = strtoul(*text, &end, 10); /* ULONG_MAX on overflow */
	*text = end;
	return true;
}

int range_parse(const char *value, size_t size, size_t *from, size_t *length)
{
	size_t first = 0, last = SIZE_MAX;
	bool begins, ends;

	if (!value || strncmp(value, "bytes=", 6) != 0)
		return 0;
	value += 6;
	begins = parse_number(&value, &first);
	if (*value++ != '-')
		return 0;
	ends = parse_number(&value, &last);
	if (*value || (!begins && !ends) || (begins && ends && last < first))
		return 0;
	if (!begins) { /* the last so many */
		*length = MIN(last, size);
		*from = size - *length;
		return *length > 0 ? 1 : -ERANGE;
	}
	if (first >= size)
		return -ERANGE;
	*from = first;
	*length = MIN(last, size - 1) - first + 1;
	return 1;
}

void http_date_format(int64_t seconds, char text[static HTTP_DATE_LENGTH + 1])
{
	struct tm parts;

	strftime(text, HTTP_DATE_LENGTH + 1, HTTP_DATE, gmtime_r(&(time_t){seconds}, &parts));
}

int http_date_parse(const char *text, int64_t *seconds)
{
	struct tm parts = {0};
	const char *end = text ? strptime(text, HTTP_DATE, &parts) : NULL;

	if (!end || *end)
		return -EINVAL;
	*seconds = timegm(&parts);
	return 0;
}
