// SPDX-License-Identifier: Apache-2.0
#include "api/wait.h"

#include "api/handlers.h"
#include "api/log_query.h"
#include "api/log_range.h"
#include "instances/history.h"
#include "instances/instance.h"
#include "instances/watcher.h"
#include "util/json.h"
#include "util/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT 60 /* seconds */
#define TIMEOUT_MAX 86400

/* A deferred answer. */
struct wait {
	struct response *response;
	struct instance *instance; /* there until the waiter is done */
	struct identity requestor;
	struct waiter *waiter;
	double timeout; /* seconds */
};

/* --- the answer --- */

/* \C matches single bytes: what is no text then is told as null, like a group that has no part in the match. */
static json_t *text_of(const char *text, size_t length)
{
	json_t *string;

	errno = 0;
	string = text ? json_stringn(text, length) : NULL;
	return string || errno == ENOMEM ? string : json_null();
}

static json_t *time_of(int64_t time)
{
	char text[TIMESTAMP_LENGTH + 1];

	if (!time)
		return json_null();
	timestamp_format(time, text);
	return json_string(text);
}

static json_t *groups_of(const struct waiter_news *news)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < news->group_count; i++)
		json_append(&groups, text_of(news->groups[i].text, news->groups[i].length));
	return groups;
}

/* It has read a part of the log, one line at least. */
static void note(const struct wait *wait)
{
	history_add(wait->instance->instances->history, wait->instance->row.name,
		    &(struct history_entry){.action = HISTORY_LOG_READ, .who = &wait->requestor});
}

static int answer_match(struct response *response, const struct waiter_news *news)
{
	json_t *match = json_pack("{s:o, s:I, s:I, s:o, s:o}", "line", text_of(news->line, news->length), "offset",
				  (json_int_t)news->offset, "end", (json_int_t)news->end, "time", time_of(news->time),
				  "matches", groups_of(news));

	return match ? response_sync(response, match) : -ENOMEM;
}

/* That nothing has matched says less where not all could be looked at. */
static void answer_failure(struct response *response, unsigned int status, const char *text, uint64_t lost)
{
	char whole[256];

	if (lost)
		snprintf(whole, sizeof(whole), "%s; %" PRIu64 " bytes were printed faster than they could be looked at",
			 text, lost);
	response_error_status(response, status, lost ? whole : text);
}

static void on_done(void *user, const struct waiter_news *news)
{
	struct wait *wait = user;
	struct response *response = wait->response;
	char text[64];

	snprintf(text, sizeof(text), "Nothing matched within %g seconds", wait->timeout);
	if (news->outcome == WAITER_MATCHED)
		note(wait);
	free(wait);
	switch (news->outcome) {
	case WAITER_MATCHED:
		if (answer_match(response, news) < 0)
			response_error_status(response, 500, "Cannot allocate memory");
		break;
	case WAITER_TIMED_OUT:
		answer_failure(response, 408, text, news->lost);
		break;
	case WAITER_ENDED:
		answer_failure(response, 410, "The instance has ended, and nothing matched", news->lost);
		break;
	case WAITER_GONE:
		answer_failure(response, 410, "The instance is no longer there", 0);
		break;
	case WAITER_LOST:
		answer_failure(response, 500, "Cannot allocate memory", 0);
		break;
	}
	response_complete(response);
}

static void on_cancelled(struct response *response)
{
	struct wait *wait = response->context;

	waiter_cancel(wait->waiter);
	free(wait);
}

/* --- the request --- */

static int parse_timeout(const struct request *request, double *timeout, struct error *error)
{
	const char *text = request_query(request, "timeout");
	char *end;

	*timeout = TIMEOUT_DEFAULT;
	if (!text)
		return 0;
	*timeout = strtod(text, &end);
	if (end == text || text[strspn(text, "0123456789.")] || *end || *timeout > TIMEOUT_MAX)
		return error_set(error, -EINVAL, "Invalid value for timeout parameter: %s", text);
	return 0;
}

/* Where the part of the log begins that the query asks for, as of the log itself; `*since` is NULL if it asks for none.
 */
static int parse_since(const struct request *request, const struct ring *ring, uint64_t *offset, const uint64_t **since,
		       struct error *error)
{
	const char *type = request_query(request, "type");
	struct log_query query;
	struct log_range range;
	int r = log_query_parse(request, &query, error);

	if (r < 0)
		return r;
	if (query.follow || query.timestamps || query.format != LOG_RAW || (type && *type && strcmp(type, "log") != 0))
		return error_set(error, -EINVAL, "The wait parameter goes with no form of the log");
	if (!query.boot && !query.since && !query.tail)
		return 0;
	query.follow = true; /* and what comes */
	r = log_range_find(&query, ring, timestamp_now(), &range, error);
	*offset = range.from;
	*since = offset;
	return r;
}

static int parse_pattern(const struct request *request, struct pattern **pattern, struct error *error)
{
	struct error why = {0};
	int r = pattern_create(pattern, request_query(request, "wait"), &why);

	return r == -EINVAL ? error_set(error, r, "Invalid value for wait parameter: %s", error_text(&why)) : r;
}

/* Makes the waiter of `wait`. */
static int begin(struct wait *wait, const struct request *request, struct error *error)
{
	struct waiter_config config = {.done = on_done, .user = wait};
	uint64_t offset;
	int r;

	r = parse_timeout(request, &wait->timeout, error);
	if (r == 0)
		r = parse_since(request, console_ring(wait->instance->console), &offset, &config.since, error);
	if (r == 0)
		r = parse_pattern(request, &config.pattern, error);
	if (r < 0)
		return r;
	config.timeout_ms = (unsigned int)(wait->timeout * 1000);
	r = waiter_create(&wait->waiter, wait->instance, &config, error);
	if (r < 0)
		pattern_destroy(config.pattern);
	return r;
}

int wait_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	struct wait *wait;
	int r;

	r = find_instance(api, request, &instance, error);
	if (r < 0)
		return r;
	wait = calloc(1, sizeof(*wait));
	if (!wait)
		return -ENOMEM;
	wait->response = response;
	wait->instance = instance;
	wait->requestor = request->identity;
	r = begin(wait, request, error);
	if (r < 0) {
		free(wait);
		return r;
	}
	response->context = wait;
	response->cancelled = on_cancelled;
	response->deferred = true;
	return 0;
}
