// SPDX-License-Identifier: Apache-2.0
#include "instances/history.h"

#include "instances/instances.h"
#include "operations/events.h"
#include "operations/operation.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* What an action is called in the history, and the event that tells of it. */
static const struct {
	const char *name, *event;
	bool ends;    /* a session */
	bool repeats; /* one after the other by the same user are one act: some ask for the log once a second */
} actions[] = {
	[HISTORY_ATTACHED] = {"attached", "instance-console", false},
	[HISTORY_DETACHED] = {"detached", "instance-console-detached", true},
	[HISTORY_TAKEN_OVER] = {"taken-over", "instance-console-taken-over", true},
	[HISTORY_ENDED] = {"ended", "instance-console-detached", true},
	[HISTORY_LOG_READ] = {"log-read", "instance-console-retrieved", .repeats = true},
	[HISTORY_LOG_CLEARED] = {"log-cleared", "instance-console-reset", false},
	[HISTORY_SCREENSHOT] = {"screenshot", "instance-console-retrieved", false},
	[HISTORY_TYPED] = {"typed", NULL, false},
	[HISTORY_LOST] = {"lost", NULL, false},
};

/* Somebody's name is looked up only when it is needed, which is not while a client waits. */
struct person {
	bool known; /* there is one */
	uid_t uid;
	char name[64]; /* "": not yet looked up */
};

struct queued {
	struct list link; // history::queue
	enum history_action action;
	struct store_act act; /* all but the names; its strings are the ones below, or static */
	struct person who, by;
	char instance[INSTANCE_NAME_MAX + 1];
	char session[OPERATION_ID_LENGTH + 1];
};

/* --- the queue --- */

/* That of a session that has ended is never 0, even if the clock was set back meanwhile: 0 says that nothing has ended.
 */
static int64_t duration_of(const struct history_entry *entry)
{
	return actions[entry->action].ends ? MAX(entry->duration, 1) : 0;
}

static struct person person(const struct identity *identity)
{
	return identity ? (struct person){.known = true, .uid = identity->uid} : (struct person){0};
}

static struct queued *queued_create(const char *instance, const struct history_entry *entry)
{
	struct queued *queued = malloc(sizeof(*queued));

	if (!queued)
		return NULL;
	*queued = (struct queued){
		.action = entry->action,
		.act =
			{
				.instance = queued->instance,
				.time = timestamp_now(),
				.action = actions[entry->action].name,
				.session = entry->session ? queued->session : NULL,
				.type = entry->type,
				.mode = entry->mode,
				.uid = entry->who ? entry->who->uid : 0,
				.pid = entry->who ? entry->who->pid : 0,
				.duration = duration_of(entry),
				.sent = entry->sent,
				.received = entry->received,
				.count = 1,
				.repeats = actions[entry->action].repeats,
			},
		.who = person(entry->who),
		.by = person(entry->by),
	};
	snprintf(queued->instance, sizeof(queued->instance), "%s", instance);
	snprintf(queued->session, sizeof(queued->session), "%s", entry->session ? entry->session : "");
	return queued;
}

static void drop(struct history *history, struct queued *queued)
{
	list_remove(&queued->link);
	history->count--;
	free(queued);
}

static struct queued *find_lost(const struct history *history, const char *instance)
{
	struct queued *queued;

	list_for_each (queued, &history->queue, link)
		if (queued->action == HISTORY_LOST && strcmp(queued->instance, instance) == 0)
			return queued;
	return NULL;
}

/* From here on it stands for itself, what it stood for, and those of the same instance that are dropped. */
static void become_lost(struct queued *queued)
{
	queued->action = HISTORY_LOST;
	queued->who = queued->by = person(NULL);
	queued->act = (struct store_act){
		.instance = queued->instance,
		.time = queued->act.time,
		.action = actions[HISTORY_LOST].name,
		.count = queued->act.count,
	};
}

static void make_room(struct history *history)
{
	struct queued *queued, *after, *lost;

	list_for_each_safe (queued, after, &history->queue, link) {
		if (queued->action == HISTORY_LOST)
			continue;
		lost = find_lost(history, queued->instance);
		if (lost) {
			lost->act.count += queued->act.count;
			drop(history, queued);
			return;
		}
		become_lost(queued);
	}
	drop(history, list_first(&history->queue, struct queued, link));
}

/* --- writing --- */

/* Asks for a name but once of many acts by one user. */
static const char *look_up(struct person *person, struct person *latest)
{
	if (!person->known)
		return NULL;
	if (!*person->name && latest->known && latest->uid == person->uid)
		*person = *latest;
	else if (!*person->name)
		identity_username(&(struct identity){.uid = person->uid}, person->name);
	*latest = *person;
	return person->name;
}

static const struct store_act *act_of(struct queued *queued, struct person *latest)
{
	queued->act.username = look_up(&queued->who, latest);
	queued->act.by = look_up(&queued->by, latest);
	return &queued->act;
}

/* Says once that it does not work, and once that it does again. */
static void note_result(struct history *history, int r, const struct error *error)
{
	if (r < 0 && !history->failing)
		log_warn("what is done with consoles is not written down for now: %s", error_text(error));
	else if (r == 0 && history->failing)
		log_info("what is done with consoles is written down again");
	history->failing = r < 0;
}

static int write_batch(struct history *history, bool patient)
{
	const struct store_act *acts[HISTORY_BATCH_MAX];
	struct person latest = {0};
	struct error error = {0};
	struct queued *queued;
	size_t count = 0;
	int r;

	list_for_each (queued, &history->queue, link) {
		if (count == HISTORY_BATCH_MAX)
			break;
		acts[count++] = act_of(queued, &latest);
	}
	r = store_add_acts(history->store, acts, count, (unsigned int)history->limits->history, patient, &error);
	note_result(history, r, &error);
	while (r == 0 && count-- > 0)
		drop(history, list_first(&history->queue, struct queued, link));
	return r;
}

static void on_timer(uv_timer_t *timer)
{
	struct history *history = timer->data;
	int r = write_batch(history, false);

	if (!list_empty(&history->queue))
		uv_timer_start(timer, on_timer, r < 0 ? history->retry : 1, 0); /* 0 would be this same turn */
}

/* The timer runs if and only if something is queued. */
static void schedule(struct history *history)
{
	if (history->count == 1)
		uv_timer_start(&history->timer, on_timer, history->delay, 0);
	else if (history->count == HISTORY_BATCH_MAX && !history->failing)
		uv_timer_start(&history->timer, on_timer, 0, 0);
}

static struct queued *find_latest(const struct history *history, const char *instance)
{
	const struct list *at;

	for (at = history->queue.prev; at != &history->queue; at = at->prev) {
		struct queued *queued = container_of(at, struct queued, link);

		if (strcmp(queued->instance, instance) == 0)
			return queued;
	}
	return NULL;
}

/* Whether the latest act can stand for this one, too. What has been written already is the store's to count. */
static bool repeat(const struct history *history, const char *instance, const struct history_entry *entry)
{
	struct queued *latest = actions[entry->action].repeats ? find_latest(history, instance) : NULL;

	if (!latest || latest->action != entry->action || !entry->who || latest->who.uid != entry->who->uid)
		return false;
	latest->act.time = timestamp_now();
	latest->act.pid = entry->who->pid;
	latest->act.count++;
	return true;
}

void history_add(struct history *history, const char *instance, const struct history_entry *entry)
{
	struct queued *queued;

	if (repeat(history, instance, entry))
		return;
	queued = queued_create(instance, entry);
	if (!queued) {
		log_error("%s: no memory to note that its console was %s", instance, actions[entry->action].name);
		return;
	}
	if (history->count == HISTORY_QUEUE_MAX)
		make_room(history);
	list_append(&history->queue, &queued->link);
	history->count++;
	schedule(history);
}

/* --- events --- */

static json_t *context_of(const struct history_entry *entry)
{
	json_t *context;
	char by[64];

	if (!entry->type && !actions[entry->action].ends)
		return json_null();
	context = json_object();
	if (entry->type)
		json_put(&context, "type", json_string(entry->type));
	if (!actions[entry->action].ends)
		return context;
	json_put(&context, "session", json_string(entry->session));
	json_put(&context, "duration", json_real((double)duration_of(entry) / 1e9));
	json_put(&context, "bytes_sent", json_integer((json_int_t)entry->sent));
	json_put(&context, "bytes_received", json_integer((json_int_t)entry->received));
	if (entry->by) {
		identity_username(entry->by, by);
		json_put(&context, "by", json_string(by));
	}
	return context;
}

void history_tell(struct history *history, const char *instance, const struct history_entry *entry)
{
	const char *event = actions[entry->action].event;
	const struct identity *requestor = entry->action == HISTORY_ATTACHED ? NULL : entry->who;
	json_auto_t *context = NULL;

	history_add(history, instance, entry);
	if (!event || !history->events->count)
		return;
	context = context_of(entry);
	events_lifecycle(history->events, event, instance, requestor, context);
}

/* --- reading --- */

/* So that the store has counted what repeats. What cannot be written now is told as it is. */
static void flush(struct history *history)
{
	while (history->count > 0 && !history->failing)
		write_batch(history, false);
	if (history->count == 0)
		uv_timer_stop(&history->timer);
}

static bool matches(const struct queued *queued, const char *instance, int64_t since)
{
	return queued->act.time >= since && strcmp(queued->instance, instance) == 0;
}

int history_each(struct history *history, const char *instance, int64_t since, unsigned int limit,
		 void (*each)(const struct store_act *act, void *user), void *user, struct error *error)
{
	struct person latest = {0};
	struct queued *queued;
	unsigned int count = 0;
	int r = 0;

	flush(history);
	limit = (unsigned int)MIN(limit, history->limits->history);
	list_for_each (queued, &history->queue, link)
		count += matches(queued, instance, since);
	if (count < limit)
		r = store_each_act(history->store, instance, since, limit - count, each, user, error);
	if (r < 0)
		return r;
	list_for_each (queued, &history->queue, link)
		if (matches(queued, instance, since) && count-- <= limit)
			each(act_of(queued, &latest), user);
	return 0;
}

/* --- what becomes of an instance --- */

void history_rename(struct history *history, const char *from, const char *to)
{
	struct queued *queued;

	list_for_each (queued, &history->queue, link)
		if (strcmp(queued->instance, from) == 0)
			snprintf(queued->instance, sizeof(queued->instance), "%s", to);
}

void history_forget(struct history *history, const char *instance)
{
	struct queued *queued, *after;
	struct error error = {0};

	list_for_each_safe (queued, after, &history->queue, link)
		if (strcmp(queued->instance, instance) == 0)
			drop(history, queued);
	if (history->count == 0)
		uv_timer_stop(&history->timer);
	if (store_forget_acts(history->store, instance, &error) < 0)
		log_warn("%s: what was done with its console is not forgotten: %s", instance, error_text(&error));
}

/* --- life --- */

int history_create(struct history **history, uv_loop_t *loop, struct store *store, struct events *events,
		   const struct limits *limits)
{
	struct history *created = malloc(sizeof(*created));

	if (!created)
		return -ENOMEM;
	*created = (struct history){
		.store = store, .events = events, .limits = limits, .delay = HISTORY_DELAY, .retry = HISTORY_RETRY};
	list_init(&created->queue);
	uv_timer_init(loop, &created->timer);
	created->timer.data = created;
	*history = created;
	return 0;
}

static void on_close(uv_handle_t *handle)
{
	free(handle->data);
}

void history_destroy(struct history *history)
{
	if (!history)
		return;
	while (!list_empty(&history->queue) && write_batch(history, true) == 0)
		;
	if (history->count > 0)
		log_error("%u acts on consoles were not written down", history->count);
	while (!list_empty(&history->queue))
		drop(history, list_first(&history->queue, struct queued, link));
	uv_close((uv_handle_t *)&history->timer, on_close);
}
