// SPDX-License-Identifier: Apache-2.0
#include "util/timestamp.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#define NANOSECONDS INT64_C(1000000000)

int64_t timestamp_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NANOSECONDS + now.tv_nsec;
}

void timestamp_format(int64_t timestamp, char text[static TIMESTAMP_LENGTH + 1])
{
	int64_t fraction = (timestamp % NANOSECONDS + NANOSECONDS) % NANOSECONDS; /* counts forward before 1970, too */
	time_t seconds = (time_t)(timestamp / NANOSECONDS - (timestamp % NANOSECONDS < 0));
	struct tm parts;
	size_t used;

	gmtime_r(&seconds, &parts);
	used = strftime(text, TIMESTAMP_LENGTH + 1, "%Y-%m-%dT%H:%M:%S", &parts);
	if (fraction)
		snprintf(text + used, TIMESTAMP_LENGTH + 1 - used, ".%09dZ", (int)fraction);
	else
		snprintf(text + used, TIMESTAMP_LENGTH + 1 - used, "Z");
}

/* Reads exactly `digits` digits, and `end` behind them unless it is 0. */
static bool read_number(const char **text, unsigned int digits, char end, int *number)
{
	*number = 0;
	for (; digits > 0; digits--, (*text)++) {
		if (!isdigit((unsigned char)**text))
			return false;
		*number = *number * 10 + (**text - '0');
	}
	return !end || *(*text)++ == end;
}

/* A day and the time of it; RFC 3339 section 5.6 lets people have a blank in place of the T. */
static bool read_time(const char **text, struct tm *parts)
{
	bool good = read_number(text, 4, '-', &parts->tm_year) && read_number(text, 2, '-', &parts->tm_mon) &&
		    read_number(text, 2, 0, &parts->tm_mday);

	if (!good || (**text != 'T' && **text != 't' && **text != ' '))
		return false;
	(*text)++;
	parts->tm_year -= 1900;
	parts->tm_mon--;
	return read_number(text, 2, ':', &parts->tm_hour) && read_number(text, 2, ':', &parts->tm_min) &&
	       read_number(text, 2, 0, &parts->tm_sec) && parts->tm_hour < 24 && parts->tm_min < 60 &&
	       parts->tm_sec <= 60; /* a leap second */
}

/* What is behind the point, in nanoseconds. */
static bool read_fraction(const char **text, int64_t *fraction)
{
	int64_t unit = NANOSECONDS / 10;

	*fraction = 0;
	if (**text != '.')
		return true;
	if (!isdigit((unsigned char)*++*text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++, unit /= 10)
		*fraction += unit * (**text - '0');
	return true;
}

/* To the end of the text; the offset in seconds. */
static bool read_offset(const char *text, int64_t *offset)
{
	int sign = *text == '-' ? -1 : 1, hours, minutes;

	*offset = 0;
	if (*text == 'Z' || *text == 'z')
		return !text[1];
	if (*text != '+' && *text != '-')
		return false;
	text++;
	if (!read_number(&text, 2, ':', &hours) || !read_number(&text, 2, 0, &minutes) || *text)
		return false;
	*offset = sign * (hours * INT64_C(3600) + minutes * INT64_C(60));
	return hours < 24 && minutes < 60;
}

/* What lies outside of an int64_t becomes the nearest that does not. */
static int64_t join(int64_t seconds, int64_t fraction)
{
	const int64_t least = INT64_MIN / NANOSECONDS, most = INT64_MAX / NANOSECONDS - 1;

	return MIN(MAX(seconds, least), most) * NANOSECONDS + fraction;
}

int timestamp_parse(const char *text, int64_t *timestamp)
{
	struct tm parts = {0}, day;
	int64_t seconds, fraction, offset;

	if (!read_time(&text, &parts) || !read_fraction(&text, &fraction) || !read_offset(text, &offset))
		return -EINVAL;
	day = (struct tm){.tm_year = parts.tm_year, .tm_mon = parts.tm_mon, .tm_mday = parts.tm_mday};
	seconds = timegm(&day); /* makes another day of one that the calendar does not have */
	if (day.tm_mday != parts.tm_mday || day.tm_mon != parts.tm_mon)
		return -EINVAL;
	seconds += parts.tm_hour * 3600 + parts.tm_min * 60 + parts.tm_sec - offset;
	*timestamp = join(seconds, fraction);
	return 0;
}
