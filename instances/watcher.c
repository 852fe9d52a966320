// SPDX-License-Identifier: Apache-2.0
/*
 * A waiter that begins with the past reads lines of its own, a slice at a time, until it has come to where the watcher
 * is; from there on it has part in the watcher's lines.
 */
#include "instances/watcher.h"

#include "instances/instance.h"
#include "instances/lines.h"
#include "util/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define TURN_NS 500000 /* for each console's lines, and as much for its past; then the loop serves others */

/* In milliseconds. Not 0: libuv 1.44 calls timers for as long as there are any that are due. */
#define NEXT_TURN 1

struct watcher {
	struct instance_reader reader; // instance::readers
	struct instance *instance;
	uv_timer_t timer;    /* the next turn or deadline */
	struct list waiters; // waiter::link
	unsigned int count;
	struct lines lines;
	bool whole;              /* the line that is being tried is */
	bool untried;            /* not all have been tried on it */
	uint64_t round;          /* a number for the line as it is */
	struct pattern_set *set; /* of all that share the lines; NULL: to be made */
};

struct waiter {
	struct list link; // watcher::waiters
	struct watcher *watcher;
	struct pattern *pattern;
	struct lines *own; /* NULL: it shares the watcher's */
	uint64_t from;     /* lines that end before this are not for it */
	uint64_t now;      /* what was printed before this is looked at even if the time is up */
	uint64_t end;      /* the instance has ended there; UINT64_MAX: it runs */
	uint64_t deadline; /* in uv_now()'s time */
	uint64_t round;    /* the last one in which it was tried */
	uint64_t lost;     /* from its own lines, less what the watcher had lost before */
	void (*done)(void *user, const struct waiter_news *news);
	void *user;
};

static const struct ring *ring_of(const struct watcher *watcher)
{
	return console_ring(watcher->instance->console);
}

/* --- the end of one --- */

/* The set is made anew before the next line. */
static void drop_set(struct watcher *watcher)
{
	pattern_set_destroy(watcher->set);
	watcher->set = NULL;
}

static void waiter_free(struct waiter *waiter)
{
	struct watcher *watcher = waiter->watcher;

	list_remove(&waiter->link);
	watcher->count--;
	if (!waiter->own)
		drop_set(watcher);
	pattern_destroy(waiter->pattern);
	free(waiter->own);
	free(waiter);
}

static uint64_t lost_to(const struct waiter *waiter)
{
	return waiter->lost + (waiter->own ? waiter->own : &waiter->watcher->lines)->lost;
}

static void finish(struct waiter *waiter, enum waiter_outcome outcome)
{
	const struct waiter_news news = {.outcome = outcome, .lost = lost_to(waiter)};

	waiter->done(waiter->user, &news);
	waiter_free(waiter);
}

/* Tries it on a line. true: it matches, or there is no memory to tell, and is gone. */
static bool try(struct waiter *waiter, const struct lines *lines)
{
	struct pattern_group groups[PATTERN_GROUPS_MAX];
	struct waiter_news news;
	int count;

	count = pattern_matches(waiter->pattern, lines->text, lines->length);
	if (count > 0)
		count = pattern_groups(waiter->pattern, lines->text, lines->length, groups);
	if (count < 0)
		finish(waiter, WAITER_LOST);
	if (count <= 0)
		return count < 0;
	news = (struct waiter_news){
		.outcome = WAITER_MATCHED,
		.lost = lost_to(waiter),
		.line = lines->text,
		.length = lines->length,
		.offset = lines->begin,
		.end = lines->end,
		.time = ring_time_at(ring_of(waiter->watcher), lines->begin, NULL),
		.groups = groups,
		.group_count = (size_t)count,
	};
	waiter->done(waiter->user, &news);
	waiter_free(waiter);
	return true;
}

/* --- the lines that all share --- */

/* No further than to the end of an instance that somebody has yet to be told of: the next boot is not for them. */
static uint64_t limit_of(const struct watcher *watcher)
{
	uint64_t limit = UINT64_MAX;
	struct waiter *waiter;

	list_for_each (waiter, &watcher->waiters, link)
		if (!waiter->own && waiter->end < limit)
			limit = waiter->end;
	return limit;
}

/* Whether one of those who share the line may match it. */
static bool may_match(struct watcher *watcher)
{
	struct waiter *waiter;

	if (watcher->count < 2)
		return true;
	if (!watcher->set) {
		watcher->set = pattern_set_create();
		list_for_each (waiter, &watcher->waiters, link)
			if (watcher->set && !waiter->own)
				pattern_set_add(watcher->set, waiter->pattern);
	}
	return !watcher->set || pattern_set_may_match(watcher->set, watcher->lines.text, watcher->lines.length);
}

/* Whether the line, as it is, is for the waiter: it had no end yet when that came. */
static bool counts(const struct waiter *waiter)
{
	const struct watcher *watcher = waiter->watcher;

	return watcher->whole ? watcher->lines.end > waiter->from : watcher->lines.end >= waiter->from;
}

/* false: the time is up before all have been tried. */
static bool try_all(struct watcher *watcher, uint64_t until)
{
	struct waiter *waiter, *after;

	if (!watcher->untried)
		return true;
	list_for_each_safe (waiter, after, &watcher->waiters, link) {
		if (waiter->own || waiter->round == watcher->round)
			continue;
		waiter->round = watcher->round;
		if (counts(waiter))
			try(waiter, &watcher->lines);
		if (uv_hrtime() > until)
			return false;
	}
	watcher->untried = false;
	return true;
}

/* Goes on to the next line, or to what has come to this one. false: there is nothing. */
static bool advance(struct watcher *watcher, uint64_t limit)
{
	struct lines *lines = &watcher->lines;
	uint64_t before = lines->end;

	watcher->whole = lines_next(lines, ring_of(watcher), limit);
	if (!watcher->whole && lines->end == before)
		return false;
	watcher->round++;
	watcher->untried = (watcher->whole || lines->length > 0) && may_match(watcher);
	return true;
}

/* Tries all there is. false: the time is up. */
static bool look(struct watcher *watcher)
{
	uint64_t until = uv_hrtime() + TURN_NS, limit = limit_of(watcher);

	do
		if (!try_all(watcher, until) || uv_hrtime() > until)
			return false;
	while (watcher->count > 0 && advance(watcher, limit));
	return true;
}

/* --- a waiter's own lines --- */

static void share(struct waiter *waiter)
{
	struct watcher *watcher = waiter->watcher;

	waiter->from = waiter->own->end;
	waiter->lost = waiter->own->lost - watcher->lines.lost;
	free(waiter->own);
	waiter->own = NULL;
	waiter->round = 0;
	watcher->untried = true;
	drop_set(watcher);
}

/* Catches up. false: the time is up before that. */
static bool catch_up(struct waiter *waiter, uint64_t until)
{
	const struct watcher *watcher = waiter->watcher;
	struct lines *own = waiter->own;

	for (;;) {
		uint64_t before = own->end;
		bool whole = lines_next(own, ring_of(watcher), waiter->end);

		if (!whole && own->end == before)
			return true;
		if ((whole || own->length > 0) && try(waiter, own))
			return true;
		if (whole && own->end >= watcher->lines.begin && watcher->lines.end <= waiter->end) {
			share(waiter);
			return true;
		}
		if (uv_hrtime() > until)
			return false;
	}
}

/* A slice for each in turn. false: the time is up before all have caught up. */
static bool catch_up_all(struct watcher *watcher)
{
	uint64_t until = uv_hrtime() + TURN_NS;
	struct waiter *waiter, *after;

	list_for_each_safe (waiter, after, &watcher->waiters, link) {
		if (!waiter->own || catch_up(waiter, until))
			continue;
		list_remove(&waiter->link);
		list_append(&watcher->waiters, &waiter->link);
		return false;
	}
	return true;
}

/* --- turns --- */

static void on_closed(uv_handle_t *timer)
{
	free(container_of((uv_timer_t *)timer, struct watcher, timer));
}

static void destroy(struct watcher *watcher)
{
	list_remove(&watcher->reader.link);
	drop_set(watcher);
	uv_close((uv_handle_t *)&watcher->timer, on_closed);
}

/* Whether all that was printed before `offset` has been tried. */
static bool has_seen(const struct waiter *waiter, uint64_t offset)
{
	const struct watcher *watcher = waiter->watcher;

	if (waiter->own)
		return waiter->own->end >= offset;
	return watcher->lines.end >= offset && (!watcher->untried || waiter->round == watcher->round);
}

/* Tells those whose instance has ended, and those whose time is up. false: nobody. */
static bool expire(struct watcher *watcher)
{
	uint64_t now = uv_now(watcher->timer.loop);
	unsigned int count = watcher->count;
	struct waiter *waiter, *after;

	list_for_each_safe (waiter, after, &watcher->waiters, link) {
		if (has_seen(waiter, waiter->end))
			finish(waiter, WAITER_ENDED);
		else if (now >= waiter->deadline && has_seen(waiter, waiter->now))
			finish(waiter, WAITER_TIMED_OUT);
	}
	return watcher->count < count;
}

static void turn(struct watcher *watcher);

static void on_timer(uv_timer_t *timer)
{
	turn(container_of(timer, struct watcher, timer));
}

/* Waits for the next turn or deadline, or goes with the last waiter. */
static void settle(struct watcher *watcher, bool busy)
{
	uint64_t now = uv_now(watcher->timer.loop), next = UINT64_MAX;
	struct waiter *waiter;

	if (watcher->count == 0) {
		destroy(watcher);
		return;
	}
	list_for_each (waiter, &watcher->waiters, link)
		if (waiter->deadline < next)
			next = waiter->deadline;
	next = busy || next < now + NEXT_TURN ? NEXT_TURN : next - now;
	uv_timer_start(&watcher->timer, on_timer, next, 0);
}

static void turn(struct watcher *watcher)
{
	bool all = look(watcher);

	all = catch_up_all(watcher) && all;
	all = !expire(watcher) && all;             /* what follows an instance's end has been left to the others */
	settle(watcher, !all || watcher->untried); /* by those who have just come to share the line */
}

static void on_output(struct instance_reader *reader)
{
	turn(container_of(reader, struct watcher, reader));
}

static void on_ended(struct instance_reader *reader)
{
	struct watcher *watcher = container_of(reader, struct watcher, reader);
	uint64_t end = ring_head(ring_of(watcher));
	struct waiter *waiter;

	list_for_each (waiter, &watcher->waiters, link)
		if (end < waiter->end)
			waiter->end = end;
	turn(watcher);
}

static void on_gone(struct instance_reader *reader)
{
	struct watcher *watcher = container_of(reader, struct watcher, reader);

	while (!list_empty(&watcher->waiters))
		finish(list_first(&watcher->waiters, struct waiter, link), WAITER_GONE);
	destroy(watcher);
}

/* --- life --- */

static struct watcher *watcher_of(const struct instance *instance)
{
	struct instance_reader *reader;

	list_for_each (reader, &instance->readers, link)
		if (reader->output == on_output)
			return container_of(reader, struct watcher, reader);
	return NULL;
}

static int check(const struct instance *instance, const struct waiter_config *config, struct error *error)
{
	const struct limits *limits = instance->instances->limits;
	const struct watcher *watcher = watcher_of(instance);
	const struct instance *each;
	unsigned int total = 0;

	if (!config->since && !instance_running(instance))
		return error_set(error, -EINVAL, "Instance is not running");
	if (watcher && watcher->count >= limits->waits_per_instance)
		return error_set(error, -EAGAIN,
				 "Too many wait for output of %s: limits.waits_per_instance is %" PRIu64,
				 instance->row.name, limits->waits_per_instance);
	list_for_each (each, &instance->instances->all, link) {
		watcher = watcher_of(each);
		total += watcher ? watcher->count : 0;
	}
	return total >= limits->waits
		       ? error_set(error, -EAGAIN, "Too many wait for output: limits.waits is %" PRIu64, limits->waits)
		       : 0;
}

static struct watcher *watcher_create(struct instance *instance)
{
	const struct ring *ring = console_ring(instance->console);
	struct watcher *watcher = calloc(1, sizeof(*watcher));

	if (!watcher)
		return NULL;
	watcher->reader = (struct instance_reader){.output = on_output, .ended = on_ended, .gone = on_gone};
	list_append(&instance->readers, &watcher->reader.link);
	list_init(&watcher->waiters);
	watcher->instance = instance;
	uv_timer_init(instance->instances->loop, &watcher->timer);
	lines_init(&watcher->lines, lines_find(ring, ring_head(ring)));
	return watcher;
}

/* 0 or -ENOMEM. */
static int read_from(struct waiter *waiter, const struct ring *ring, uint64_t since)
{
	uint64_t tail = ring_tail(ring);

	waiter->own = malloc(sizeof(*waiter->own));
	if (!waiter->own)
		return -ENOMEM;
	lines_init(waiter->own, since < tail ? tail : since);
	return 0;
}

static struct waiter *make(const struct instance *instance, const struct waiter_config *config)
{
	const struct ring *ring = console_ring(instance->console);
	uint64_t head = ring_head(ring);
	struct waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return NULL;
	*waiter = (struct waiter){
		.pattern = config->pattern,
		.from = head,
		.now = head,
		.end = instance_running(instance) ? UINT64_MAX : head,
		.deadline = uv_now(instance->instances->loop) + config->timeout_ms,
		.done = config->done,
		.user = config->user,
	};
	list_init(&waiter->link);
	if (config->since && read_from(waiter, ring, *config->since) < 0) {
		free(waiter);
		return NULL;
	}
	return waiter;
}

static void add(struct watcher *watcher, struct waiter *waiter)
{
	waiter->watcher = watcher;
	list_append(&watcher->waiters, &waiter->link);
	watcher->count++;
	if (!waiter->own) {
		waiter->lost = -watcher->lines.lost;
		watcher->untried = true;
		drop_set(watcher);
	}
	uv_timer_start(&watcher->timer, on_timer, 0, 0); /* not from here: the request is still being handled */
}

int waiter_create(struct waiter **result, struct instance *instance, const struct waiter_config *config,
		  struct error *error)
{
	int r = check(instance, config, error);
	struct watcher *watcher;
	struct waiter *waiter;

	if (r < 0)
		return r;
	waiter = make(instance, config);
	watcher = waiter ? watcher_of(instance) : NULL;
	if (waiter && !watcher)
		watcher = watcher_create(instance);
	if (!watcher) {
		if (waiter)
			free(waiter->own);
		free(waiter);
		return -ENOMEM;
	}
	add(watcher, waiter);
	*result = waiter;
	return 0;
}

void waiter_cancel(struct waiter *waiter)
{
	struct watcher *watcher = waiter->watcher;

	waiter_free(waiter);
	settle(watcher, true);
}
