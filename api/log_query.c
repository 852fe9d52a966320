// SPDX-License-Identifier: Apache-2.0
#include "api/log_query.h"

#include "util/timestamp.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NANOSECONDS INT64_C(1000000000)

/* Digits and nothing else. */
static int parse_number(const char *text, int64_t *number)
{
	if (!*text || text[strspn(text, "0123456789")])
		return -EINVAL;
	errno = 0;
	*number = strtoll(text, NULL, 10);
	return -errno;
}

static int parse_boot(const char *text, struct log_query *query)
{
	bool negative = *text == '-';
	int r = parse_number(text + negative, &query->boot);

	if (negative)
		query->boot = -query->boot;
	return r < 0 || query->boot == 0 ? -EINVAL : 0;
}

/* Takes a unit off `*text`; nanoseconds, or 0: there is none. */
static int64_t take_unit(const char **text)
{
	static const struct {
		char name[3];
		int64_t length;
	} units[] = {
		{"ms", NANOSECONDS / 1000}, /* before m */
		{"h", 3600 * NANOSECONDS},
		{"m", 60 * NANOSECONDS},
		{"s", NANOSECONDS},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t length = strlen(units[i].name);

		if (strncmp(*text, units[i].name, length) == 0) {
			*text += length;
			return units[i].length;
		}
	}
	return 0;
}

/* As Go writes durations, but in whole numbers: 1h30m, 90s. */
static int parse_duration(const char *text, int64_t *duration)
{
	*duration = 0;
	do {
		int64_t number, part;
		char *end;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		number = strtoll(text, &end, 10); /* INT64_MAX on overflow, which is one below, too */
		text = end;
		if (__builtin_mul_overflow(number, take_unit(&text), &part) || part < number ||
		    __builtin_add_overflow(*duration, part, duration))
			return -EINVAL;
	} while (*text);
	return 0;
}

/* In a query, the '+' of a zone that was not escaped has become a blank. */
static int parse_time(const char *text, int64_t *time)
{
	char copy[64];
	char *blank;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	blank = strrchr(copy, ' ');
	if (blank && blank - copy >= (ptrdiff_t)strlen("2026-11-23T09:19:16"))
		*blank = '+';
	return timestamp_parse(copy, time);
}

static int parse_since(const char *text, struct log_query *query)
{
	if (parse_number(text, &query->since_value) == 0)
		query->since = LOG_SINCE_OFFSET;
	else if (parse_duration(text, &query->since_value) == 0)
		query->since = LOG_SINCE_AGO;
	else if (parse_time(text, &query->since_value) == 0)
		query->since = LOG_SINCE_TIME;
	else
		return -EINVAL;
	return 0;
}

static int parse_tail(const char *text, struct log_query *query)
{
	query->tail = LOG_TAIL_LINES;
	return parse_number(text, &query->tail_value);
}

static int parse_tail_bytes(const char *text, struct log_query *query)
{
	query->tail = LOG_TAIL_BYTES;
	return parse_number(text, &query->tail_value);
}

static int parse_boolean(const char *text, bool *value)
{
	*value = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
	return *value || strcmp(text, "0") == 0 || strcmp(text, "false") == 0 ? 0 : -EINVAL;
}

static int parse_follow(const char *text, struct log_query *query)
{
	return parse_boolean(text, &query->follow);
}

static int parse_timestamps(const char *text, struct log_query *query)
{
	return parse_boolean(text, &query->timestamps);
}

static int parse_notices(const char *text, struct log_query *query)
{
	bool notices;
	int r = parse_boolean(text, &notices);

	query->quiet = !notices;
	return r;
}

static const char *const formats[] = {
	[LOG_RAW] = "raw",       [LOG_PLAIN] = "plain", [LOG_ASCIICAST] = "asciicast",
	[LOG_SCREEN] = "screen", [LOG_HTML] = "html",
};

static int parse_format(const char *text, struct log_query *query)
{
	for (unsigned int i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(text, formats[i]) == 0) {
			query->format = i;
			return 0;
		}
	return -EINVAL;
}

static const struct {
	const char *name;
	int (*parse)(const char *text, struct log_query *query);
} parameters[] = {
	{"boot", parse_boot},       {"since", parse_since},
	{"tail", parse_tail},       {"tail_bytes", parse_tail_bytes},
	{"follow", parse_follow},   {"timestamps", parse_timestamps},
	{"notices", parse_notices}, {"format", parse_format},
};

static int check(const struct request *request, const struct log_query *query, struct error *error)
{
	const char *format = formats[query->format];

	if (request_query(request, "tail") && request_query(request, "tail_bytes"))
		return error_set(error, -EINVAL, "The parameters tail and tail_bytes exclude each other");
	if (query->follow && log_query_screen(query))
		return error_set(error, -EINVAL, "The follow parameter does not go with format %s", format);
	if (query->timestamps && query->format != LOG_RAW && query->format != LOG_PLAIN)
		return error_set(error, -EINVAL, "The timestamps parameter does not go with format %s", format);
	return 0;
}

int log_query_parse(const struct request *request, struct log_query *query, struct error *error)
{
	const char *accept = request->header(request, "Accept");

	*query = (struct log_query){0};
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const char *value = request_query(request, parameters[i].name);

		if (value && parameters[i].parse(value, query) < 0)
			return error_set(error, -EINVAL, "Invalid value for %s parameter: %s", parameters[i].name,
					 value);
		query->given |= value != NULL;
	}
	if (query->format == LOG_SCREEN && accept && strstr(accept, "text/html"))
		query->format = LOG_HTML;
	return check(request, query, error);
}

bool log_query_lasting(const struct log_query *query)
{
	return !query->follow && query->boot >= 0 && query->since != LOG_SINCE_AGO;
}

bool log_query_screen(const struct log_query *query)
{
	return query->format == LOG_SCREEN || query->format == LOG_HTML;
}
