// SPDX-License-Identifier: Apache-2.0
#include "api/request.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int request_decode(char *text)
{
	char *out = text;

	while (*text) {
		int high, low;

		if (*text != '%') {
			*out++ = *text++;
			continue;
		}
		high = digit_value(text[1]);
		low = high < 0 ? -1 : digit_value(text[2]);
		if (low < 0 || !(high || low))
			return -EINVAL;
		*out++ = (char)(high << 4 | low);
		text += 3;
	}
	*out = '\0';
	return 0;
}

/* In a query a '+' is a blank: Go's url.Values writes them so. */
static int decode_query_text(char *text)
{
	char *plus;

	for (plus = strchr(text, '+'); plus; plus = strchr(plus, '+'))
		*plus = ' ';
	return request_decode(text);
}

static int add_pair(struct request *request, char *pair)
{
	char *equals = strchr(pair, '=');
	struct request_pair *added;
	int r;

	if (request->query_count == REQUEST_QUERY_MAX)
		return -EINVAL;
	added = &request->query[request->query_count];
	added->name = pair;
	added->value = pair + strlen(pair);
	if (equals) {
		*equals = '\0';
		added->value = equals + 1;
	}
	r = decode_query_text(added->name);
	if (r == 0)
		r = decode_query_text(added->value);
	if (r == 0)
		request->query_count++;
	return r;
}

/* The query stays in the path's memory: names and values point into it. */
static int parse_query(struct request *request, char *query)
{
	char *pair;

	while ((pair = strsep(&query, "&"))) {
		int r = *pair ? add_pair(request, pair) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* Skips the scheme and host of an absolute target; what follows them may be nothing at all. */
static const char *skip_authority(const char *target)
{
	if (strncasecmp(target, "http://", 7) == 0)
		target += 7;
	else if (strncasecmp(target, "https://", 8) == 0)
		target += 8;
	else
		return target;
	return target + strcspn(target, "/?");
}

static bool has_blank_or_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return true;
	return false;
}

int request_set_target(struct request *request, const char *target)
{
	const char *path = skip_authority(target);
	bool add_slash = path != target && *path != '/';
	size_t size = strlen(path) + 1;
	char *query;
	int r = 0;

	if ((*path != '/' && !add_slash) || has_blank_or_control(path))
		return -EINVAL;
	request->path = malloc(add_slash + size);
	if (!request->path)
		return -ENOMEM;
	request->path[0] = '/';
	memcpy(request->path + add_slash, path, size);
	query = strchr(request->path, '?');
	if (query) {
		*query = '\0';
		r = parse_query(request, query + 1);
	}
	if (r < 0)
		request_finish(request);
	return r;
}

void request_finish(struct request *request)
{
	free(request->path);
	free(request->pattern_space);
	request->path = NULL;
	request->pattern_space = NULL;
	request->query_count = 0;
}

const char *request_query(const struct request *request, const char *name)
{
	size_t i;

	for (i = 0; i < request->query_count; i++)
		if (strcmp(request->query[i].name, name) == 0)
			return request->query[i].value;
	return NULL;
}

unsigned int request_recursion(const struct request *request)
{
	const char *text = request_query(request, "recursion");
	unsigned long depth;

	if (!text || text[strspn(text, "0123456789")])
		return 0;
	depth = strtoul(text, NULL, 10); /* ULONG_MAX on overflow */
	return depth < 2 ? (unsigned int)depth : 2;
}

int request_check_etag(const struct request *request, const char *etag, struct error *error)
{
	const char *wanted = request->header(request, "If-Match");
	size_t length;

	if (!wanted)
		return 0;
	length = strlen(wanted);
	if (length >= 2 && wanted[0] == '"' && wanted[length - 1] == '"') {
		wanted++;
		length -= 2;
	}
	if (length == strlen(etag) && strncmp(wanted, etag, length) == 0)
		return 0;
	return error_set(error, -ESTALE, "ETag doesn't match: %s vs %.*s", etag, (int)length, wanted);
}
