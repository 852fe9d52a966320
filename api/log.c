// SPDX-License-Identifier: Apache-2.0
/* GET of a console: its log, in the form that the query asks for; and its boots. */
#include "api/handlers.h"
#include "api/log_query.h"
#include "api/log_range.h"
#include "api/log_screen.h"
#include "api/log_stream.h"
#include "api/range.h"
#include "api/screenshot.h"
#include "api/wait.h"
#include "instances/history.h"
#include "instances/instance.h"
#include "util/json.h"
#include "util/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define NANOSECONDS INT64_C(1000000000)
#define BOOTS_MAX 64

struct log_answer {
	const struct request *request;
	struct response *response;
	struct instance *instance;
	struct log_query query;
	struct log_range range;
	int64_t now, written_at; /* in seconds since 1970; 0: never, or it has no date */
};

/* --- what is the same for all --- */

/*
 * The date is that of a second which is over. If it were the present one, what is printed in the rest of it would be
 * missed by a client who asks later for what has come since then.
 */
static int add_last_modified(const struct log_answer *answer)
{
	char text[HTTP_DATE_LENGTH + 1];

	if (!answer->written_at)
		return 0;
	http_date_format(MIN(answer->written_at, answer->now - 1), text);
	return response_header(answer->response, "Last-Modified", "%s", text);
}

/* So that a client can go on from where this answer ends. A client of LXD's does not see it. */
static int add_offsets(const struct log_answer *answer)
{
	const struct log_range *range = &answer->range;

	if (!answer->query.given)
		return 0;
	if (answer->query.follow)
		return response_header(answer->response, "Consoled-Range", "%" PRIu64 "-", range->from);
	return response_header(answer->response, "Consoled-Range", "%" PRIu64 "-%" PRIu64, range->from, range->to);
}

/* Whether the client has what it asks for already. One that has been emptied is not dated by that, so it never is. */
static bool unchanged(const struct log_answer *answer)
{
	int64_t since;

	return answer->written_at && answer->range.from < answer->range.to &&
	       http_date_parse(answer->request->header(answer->request, "If-Modified-Since"), &since) == 0 &&
	       answer->written_at <= since && since < answer->now;
}

/* --- raw --- */

/* A Range of a log that has been written to since the client has its first part (RFC 9110 section 13.1.5) is void. */
static const char *wanted_range(const struct log_answer *answer)
{
	const char *condition = answer->request->header(answer->request, "If-Range");
	int64_t date;

	if (condition && (http_date_parse(condition, &date) < 0 || date != answer->written_at))
		return NULL;
	return answer->request->header(answer->request, "Range");
}

/* Cuts the log to the part that a Range header asks for. */
static int cut(const struct log_answer *answer, char *log, size_t *size)
{
	size_t from, length, whole = *size;
	int r = range_parse(wanted_range(answer), whole, &from, &length);

	if (r == -ERANGE) {
		*size = 0;
		answer->response->status = 416;
		return response_header(answer->response, "Content-Range", "bytes */%zu", whole);
	}
	if (r == 0)
		return 0;
	memmove(log, log + from, length);
	*size = length;
	answer->response->status = 206;
	return response_header(answer->response, "Content-Range", "bytes %zu-%zu/%zu", from, from + length - 1, whole);
}

/* One copy, made now: an answer does not change, however slowly it is then read. */
static int answer_raw(struct log_answer *answer)
{
	struct response *response = answer->response;
	size_t size = (size_t)(answer->range.to - answer->range.from);
	uint64_t offset = answer->range.from, lost;
	char *log = malloc(size + 1);
	int r;

	if (!log)
		return -ENOMEM;
	size = ring_read(console_ring(answer->instance->console), &offset, log, size, &lost);
	answer->range = (struct log_range){offset - size, offset};
	r = response_bytes(response, "application/octet-stream", log, size);
	if (r == 0)
		r = cut(answer, log, &response->length);
	if (r == 0)
		r = response_header(response, "Accept-Ranges", "bytes");
	if (r == 0)
		r = response_header(response, "Content-Disposition", "inline;filename=");
	if (r == 0)
		r = response_header(response, "X-Content-Type-Options", "nosniff");
	if (r == 0)
		r = add_last_modified(answer);
	return r < 0 ? r : add_offsets(answer);
}

/* --- anything else --- */

static int answer_stream(struct log_answer *answer)
{
	int r = log_stream(&answer->query, &answer->range, answer->instance, answer->response);

	if (r == 0)
		r = response_header(answer->response, "X-Content-Type-Options", "nosniff");
	if (r == 0 && answer->query.follow)
		r = response_header(answer->response, "Cache-Control", "no-store");
	if (r == 0)
		r = add_last_modified(answer);
	return r < 0 ? r : add_offsets(answer);
}

static int answer_unchanged(struct log_answer *answer)
{
	answer->response->status = 304;
	return add_last_modified(answer);
}

static int answer_log(struct api *api, struct log_answer *answer, struct error *error)
{
	const struct ring *ring = console_ring(answer->instance->console);
	const struct log_query *query = &answer->query;
	bool text = query->format == LOG_RAW || query->format == LOG_PLAIN;
	int64_t now = timestamp_now();
	int r;

	answer->now = now / NANOSECONDS;
	if (text && log_query_lasting(query))
		answer->written_at = ring_written_at(ring) / NANOSECONDS; /* before the bytes: they are no older */
	r = log_range_find(query, ring, now, &answer->range, error);
	if (r < 0)
		return r;
	if (unchanged(answer))
		return answer_unchanged(answer);
	if (log_query_screen(query))
		return log_screen(api, answer->instance, query, &answer->range, answer->response, error);
	if (query->format == LOG_RAW && !query->follow && !query->timestamps)
		return answer_raw(answer);
	return answer_stream(answer);
}

/* Incus' `type`: the log of the text console, or a picture of the screen; a container, which has none, gives its log.
 */
static int check_type(const struct request *request, const struct instance *instance, bool *screen, struct error *error)
{
	const char *type = request_query(request, "type");
	bool vga = type && strcmp(type, "vga") == 0;

	*screen = vga && instance->row.type == INSTANCE_VIRTUAL_MACHINE;
	if (!type || !*type || strcmp(type, "log") == 0 || vga)
		return 0;
	return error_set(error, -EIO, "Invalid value for type parameter: %s", type);
}

/* LXD has no event for a log that is read while nothing runs. */
static void tell_read(const struct request *request, const struct instance *instance)
{
	const struct history_entry entry = {.action = HISTORY_LOG_READ, .who = &request->identity};

	if (instance_running(instance))
		history_tell(instance->instances->history, instance->row.name, &entry);
	else
		history_add(instance->instances->history, instance->row.name, &entry);
}

int console_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct log_answer answer = {.request = request, .response = response};
	bool screen;
	int r;

	if (request_query(request, "wait"))
		return wait_get(api, request, response, error);
	r = find_instance(api, request, &answer.instance, error);
	if (r == 0)
		r = check_type(request, answer.instance, &screen, error);
	if (r == 0 && screen)
		return screenshot_get(api, answer.instance, request, response, error);
	if (r == 0)
		r = log_query_parse(request, &answer.query, error);
	if (r < 0)
		return r;
	if (!instance_running(answer.instance))
		answer.query.follow = false; /* nothing comes */
	r = answer_log(api, &answer, error);
	if (r == 0)
		tell_read(request, answer.instance);
	return r;
}

/* --- boots --- */

/* `end` is where the next one begins. */
static json_t *render_boot(const struct ring *ring, const struct ring_boot *boot, uint64_t end)
{
	uint64_t begin = MAX(boot->offset, ring_tail(ring));
	char started_at[TIMESTAMP_LENGTH + 1];

	timestamp_format(boot->time, started_at);
	return json_pack("{s:I, s:s, s:I, s:I}", "number", (json_int_t)boot->number, "started_at", started_at, "offset",
			 (json_int_t)boot->offset, "bytes", (json_int_t)(end > begin ? end - begin : 0));
}

int console_boots_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct ring_boot boots[BOOTS_MAX];
	json_auto_t *list = json_array();
	const struct ring *ring;
	struct instance *instance;
	size_t count;
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	ring = console_ring(instance->console);
	count = ring_boots(ring, boots, BOOTS_MAX);
	for (size_t i = 0; i < count; i++)
		json_append(&list, render_boot(ring, &boots[i], i + 1 < count ? boots[i + 1].offset : ring_head(ring)));
	return list ? response_sync(response, json_incref(list)) : -ENOMEM;
}
