// SPDX-License-Identifier: Apache-2.0
/* What is done with consoles is written down: later, in order, bounded, and whatever the database has to say. */
#include "store-fixture.h"

#include "instances/history.h"
#include "operations/events.h"
#include "util/log.h"
#include "util/timestamp.h"

#include <sys/mman.h>

#define HISTORY_MAX 1000 /* limits.history */
#define SESSION "01234567-89ab-cdef-0123-456789abcdef"

static const struct identity somebody = {.uid = 4000000001, .gid = 7, .pid = 42}; /* nobody has this number */
static const struct identity another = {.uid = 4000000002};

struct world {
	struct fixture *f;
	uv_loop_t loop;
	struct limits limits;
	struct events events;
	struct history *history;
};

static void begin(struct world *world, struct fixture *f)
{
	world->f = f;
	if (!f->store)
		open_store(f);
	limits_init(&world->limits);
	assert_int_equal(uv_loop_init(&world->loop), 0);
	assert_int_equal(events_init(&world->events, &world->loop, NULL, &world->limits), 0);
	assert_int_equal(history_create(&world->history, &world->loop, f->store, &world->events, &world->limits), 0);
	world->history->delay = 5;
	world->history->retry = 10;
}

static void end(struct world *world)
{
	history_destroy(world->history);
	events_finish(&world->events);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

/* Until all is written; the loop ends by itself then. */
static void settle(struct world *world)
{
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->history->count, 0);
}

/* What was sent tells one from another. */
static void add(struct world *world, const char *instance, uint64_t number)
{
	const struct history_entry entry = {.action = HISTORY_DETACHED,
					    .session = SESSION,
					    .type = "console",
					    .mode = "write",
					    .who = &somebody,
					    .duration = 1,
					    .sent = number};

	history_add(world->history, instance, &entry);
}

/* --- reading --- */

static void append_act(const struct store_act *act, void *user)
{
	char *text = user;

	sprintf(text + strlen(text), act->count > 1 ? "%s*%d " : "%s%d ", act->count > 1 ? act->action : "",
		(int)(act->count > 1 ? act->count : (int64_t)act->sent));
}

static void assert_acts_since(struct world *world, const char *instance, int64_t since, unsigned int limit,
			      const char *expected)
{
	char text[1024] = "";

	assert_int_equal(history_each(world->history, instance, since, limit, append_act, text, &world->f->error), 0);
	assert_string_equal(text, expected);
}

static void assert_acts(struct world *world, const char *instance, const char *expected)
{
	assert_acts_since(world, instance, 0, HISTORY_MAX, expected);
}

struct range {
	uint64_t first, last;
	unsigned int count, lost;
};

/* Each is the successor of the one before. */
static void measure(const struct store_act *act, void *user)
{
	struct range *range = user;

	if (act->username) {
		if (range->count == 0)
			range->first = act->sent;
		else
			assert_int_equal(act->sent, range->last + 1);
		range->last = act->sent;
		range->count++;
	} else {
		assert_string_equal(act->action, "lost");
		range->lost += act->count;
	}
}

static struct range range_of(struct world *world, const char *instance)
{
	struct range range = {0};

	assert_int_equal(history_each(world->history, instance, 0, HISTORY_MAX, measure, &range, &world->f->error), 0);
	return range;
}

/* --- queue and store --- */

static void test_queued(void **state)
{
	struct fixture *f = *state;
	struct world world;

	begin(&world, f);
	assert_false(uv_loop_alive(&world.loop)); /* no timer without a reason */
	assert_acts(&world, "a", "");
	add(&world, "a", 1);
	add(&world, "b", 2);
	add(&world, "a", 3);
	assert_query(f, "SELECT count(*) FROM history", "0");
	assert_acts(&world, "a", "1 3 ");
	settle(&world);
	assert_query(f, "SELECT count(*) FROM history", "3");
	assert_acts(&world, "a", "1 3 ");
	add(&world, "a", 4);
	assert_acts(&world, "a", "1 3 4 ");
	assert_acts(&world, "b", "2 ");
	end(&world); /* at once */
	assert_query(f, "SELECT count(*) FROM history", "4");
	reopen_store(f);
	begin(&world, f);
	assert_acts(&world, "a", "1 3 4 ");
	end(&world);
}

/* Copies of the strings would be too much for what follows: all is compared here. */
static void check_full(const struct store_act *act, void *user)
{
	int *calls = user;

	++*calls;
	assert_string_equal(act->instance, "a");
	assert_true(act->time > 0 && act->time <= timestamp_now());
	assert_string_equal(act->action, "taken-over");
	assert_string_equal(act->session, SESSION);
	assert_string_equal(act->type, "vga");
	assert_string_equal(act->mode, "watch");
	assert_string_equal(act->username, "4000000001");
	assert_int_equal(act->uid, 4000000001);
	assert_int_equal(act->pid, 42);
	assert_string_equal(act->by, "4000000002");
	assert_int_equal(act->duration, INT64_MAX);
	assert_int_equal(act->sent, UINT64_MAX);
	assert_int_equal(act->received, 5);
	assert_int_equal(act->count, 1);
}

static void check_empty(const struct store_act *act, void *user)
{
	int *calls = user;

	++*calls;
	assert_string_equal(act->action, "log-read");
	assert_null(act->session);
	assert_null(act->type);
	assert_null(act->mode);
	assert_null(act->username);
	assert_null(act->by);
	assert_int_equal(act->duration, 0);
}

static void test_fields(void **state)
{
	struct fixture *f = *state;
	struct world world;
	int calls = 0;

	begin(&world, f);
	history_add(world.history, "a",
		    &(struct history_entry){.action = HISTORY_TAKEN_OVER,
					    .session = SESSION,
					    .type = "vga",
					    .mode = "watch",
					    .who = &somebody,
					    .by = &another,
					    .duration = INT64_MAX,
					    .sent = UINT64_MAX,
					    .received = 5});
	history_add(world.history, "b", &(struct history_entry){.action = HISTORY_LOG_READ});
	for (int i = 0; i < 2; i++) {
		assert_int_equal(history_each(world.history, "a", 0, 5, check_full, &calls, &f->error), 0);
		assert_int_equal(history_each(world.history, "b", 0, 5, check_empty, &calls, &f->error), 0);
		settle(&world);
	}
	assert_int_equal(calls, 4);
	end(&world);
}

/* Names are those of the system's users, however many acts there are. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	const struct identity root = {.uid = 0};
	struct world world;

	begin(&world, f);
	for (int i = 0; i < 4; i++)
		history_add(world.history, "a",
			    &(struct history_entry){.action = HISTORY_LOG_READ, .who = i % 2 ? &somebody : &root});
	settle(&world);
	assert_query(f, "SELECT group_concat(username, ' ') FROM history", "root 4000000001 root 4000000001");
	end(&world);
}

static void read_log(struct world *world, const char *instance, const struct identity *who)
{
	history_add(world->history, instance, &(struct history_entry){.action = HISTORY_LOG_READ, .who = who});
}

static void check_repeated(const struct store_act *act, void *user)
{
	int64_t *before = user;

	assert_string_equal(act->action, "log-read");
	assert_string_equal(act->username, "4000000001");
	assert_int_equal(act->pid, 43); /* the latest one's, and so is the time */
	assert_int_equal(act->count, 3);
	assert_true(act->time >= *before);
	*before = INT64_MAX; /* there is but one */
}

/* Who asks for the log again and again has one act, whether that is still queued or stored already. */
static void test_repeated(void **state)
{
	struct fixture *f = *state;
	const struct identity same = {.uid = somebody.uid, .pid = 43};
	struct world world;
	int64_t before;

	for (int stored = 0; stored < 4; stored++) {
		begin(&world, f);
		read_log(&world, "a", &somebody);
		if (stored & 1)
			settle(&world);
		read_log(&world, "b", &another); /* another console's are in between */
		read_log(&world, "a", &somebody);
		if (stored & 2)
			settle(&world);
		before = timestamp_now();
		read_log(&world, "a", &same);
		assert_int_equal(history_each(world.history, "a", 0, 5, check_repeated, &before, &f->error), 0);
		assert_int_equal(before, INT64_MAX);
		settle(&world);
		assert_query(f, "SELECT count(*) FROM history", "2");
		run_sql(f, "DELETE FROM history");
		end(&world);
	}
}

/* Only what comes one after the other, of one user, and reads of a log alone. */
static void test_not_repeated(void **state)
{
	struct fixture *f = *state;
	struct world world;

	for (int stored = 0; stored < 2; stored++) {
		begin(&world, f);
		for (int i = 0; i < 2; i++) {
			read_log(&world, "a", &somebody);
			read_log(&world, "a", &another);
			read_log(&world, "a", &another);
			add(&world, "a", 7);
			add(&world, "a", 8);
			history_add(world.history, "a", &(struct history_entry){.action = HISTORY_LOG_CLEARED});
			if (stored)
				settle(&world);
		}
		assert_acts(&world, "a", "0 log-read*2 7 8 0 0 log-read*2 7 8 0 ");
		settle(&world);
		assert_acts(&world, "a", "0 log-read*2 7 8 0 0 log-read*2 7 8 0 ");
		run_sql(f, "DELETE FROM history");
		end(&world);
	}
}

static void check_duration(const struct store_act *act, void *user)
{
	assert_int_equal(act->duration, strcmp(act->action, "attached") == 0 ? 0 : 1);
}

/* A session that has ended has lasted, though the clock was set back. */
static void test_clock_set_back(void **state)
{
	struct fixture *f = *state;
	struct world world;

	begin(&world, f);
	history_add(world.history, "a", &(struct history_entry){.action = HISTORY_ATTACHED, .duration = 5});
	history_add(world.history, "a", &(struct history_entry){.action = HISTORY_DETACHED, .duration = -5});
	history_add(world.history, "a", &(struct history_entry){.action = HISTORY_ENDED});
	settle(&world);
	assert_int_equal(history_each(world.history, "a", 0, 5, check_duration, NULL, &f->error), 0);
	assert_query(f, "SELECT count(*) FROM history", "3");
	end(&world);
}

static void test_limit_and_since(void **state)
{
	struct fixture *f = *state;
	struct world world;
	int64_t between;

	begin(&world, f);
	add(&world, "a", 1);
	add(&world, "a", 2);
	settle(&world);
	between = timestamp_now();
	while (timestamp_now() == between) /* the clock's next tick */
		;
	add(&world, "a", 3);
	add(&world, "a", 4);
	for (int i = 0; i < 2; i++) { /* two of them queued, then none */
		assert_acts_since(&world, "a", 0, 1, "4 ");
		assert_acts_since(&world, "a", 0, 2, "3 4 ");
		assert_acts_since(&world, "a", 0, 3, "2 3 4 ");
		assert_acts_since(&world, "a", 0, UINT32_MAX, "1 2 3 4 ");
		assert_acts_since(&world, "a", between, HISTORY_MAX, "3 4 ");
		assert_acts_since(&world, "a", between, 1, "4 ");
		assert_acts_since(&world, "a", timestamp_now() + 1, HISTORY_MAX, "");
		settle(&world);
	}
	end(&world);
}

/* Only the latest are kept, of each instance by itself. */
static void test_bound(void **state)
{
	struct fixture *f = *state;
	struct world world;
	struct range range;

	begin(&world, f);
	add(&world, "b", 1);
	for (uint64_t i = 1; i <= HISTORY_MAX + 250; i++) {
		add(&world, "a", i);
		if (i % 100 == 0)
			settle(&world);
	}
	range = range_of(&world, "a"); /* the last fifty are still queued */
	assert_int_equal(range.count, HISTORY_MAX);
	assert_int_equal(range.first, 251);
	assert_int_equal(range.last, HISTORY_MAX + 250);
	settle(&world);
	range = range_of(&world, "a");
	assert_int_equal(range.count, HISTORY_MAX);
	assert_int_equal(range.first, 251);
	assert_acts(&world, "b", "1 ");
	assert_query(f, "SELECT count(*) FROM history", "1001");
	end(&world);
}

/* Many at once are written at the loop's next turns, a batch in each. */
static void test_burst(void **state)
{
	struct fixture *f = *state;
	struct world world;
	struct range range;

	begin(&world, f);
	for (uint64_t i = 1; i <= HISTORY_BATCH_MAX + 10; i++)
		add(&world, "a", i);
	assert_int_equal(world.history->count, HISTORY_BATCH_MAX + 10);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	assert_int_equal(world.history->count, 10); /* others have their turn first */
	range = range_of(&world, "a");
	assert_int_equal(range.count, HISTORY_BATCH_MAX + 10);
	assert_int_equal(range.first, 1);
	uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(world.history->count, 0);
	end(&world);
}

/* --- what becomes of the instance --- */

static void test_rename(void **state)
{
	struct fixture *f = *state;
	struct world world;

	begin(&world, f);
	assert_int_equal(insert(f, "a", "{}"), 0);
	add(&world, "c", 7); /* of one that has gone unseen */
	add(&world, "a", 1);
	settle(&world);
	add(&world, "a", 2);
	assert_int_equal(store_rename(f->store, "a", "c", &f->error), 0);
	history_rename(world.history, "a", "c");
	add(&world, "c", 3);
	assert_acts(&world, "a", "");
	assert_acts(&world, "c", "1 2 3 ");
	settle(&world);
	assert_acts(&world, "a", "");
	assert_acts(&world, "c", "1 2 3 ");
	assert_int_equal(store_rename(f->store, "c", "c", &f->error), 0);
	assert_acts(&world, "c", "1 2 3 ");
	end(&world);
}

static void test_delete(void **state)
{
	struct fixture *f = *state;
	struct world world;

	begin(&world, f);
	assert_int_equal(insert(f, "a", "{}"), 0);
	add(&world, "a", 1);
	add(&world, "b", 2);
	settle(&world);
	add(&world, "a", 3);
	assert_int_equal(store_delete(f->store, "a", &f->error), 0);
	assert_acts(&world, "a", "3 ");
	history_forget(world.history, "a");
	assert_false(uv_loop_alive(&world.loop));
	assert_acts(&world, "a", "");
	assert_acts(&world, "b", "2 ");
	add(&world, "b", 4);
	settle(&world);
	assert_query(f, "SELECT count(*) FROM history", "2");
	end(&world);
}

/* A container that is not ours is in no table, and has a history all the same. */
static void test_not_ours(void **state)
{
	struct fixture *f = *state;
	struct world world;

	begin(&world, f);
	add(&world, "their.own_c1", 1);
	settle(&world);
	add(&world, "their.own_c1", 2);
	assert_acts(&world, "their.own_c1", "1 2 ");
	history_forget(world.history, "their.own_c1");
	assert_acts(&world, "their.own_c1", "");
	settle(&world);
	assert_query(f, "SELECT count(*) FROM history", "0");
	end(&world);
}

/* A new instance does not begin with the history of another that had its name. */
static void test_new_instance(void **state)
{
	struct fixture *f = *state;
	struct world world;

	begin(&world, f);
	add(&world, "a", 1);
	add(&world, "b", 2);
	settle(&world);
	assert_int_equal(insert(f, "a", "{}"), 0);
	assert_acts(&world, "a", "");
	assert_acts(&world, "b", "2 ");
	end(&world);
}

/* --- trouble --- */

/* What is said from here on is kept. */
static int open_log(int *saved)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	*saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	assert_true(*saved >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	return fd;
}

/* Ends it; returns how many lines have been said, of which the first, if any, is in `first`. */
static int close_log(int fd, int saved, char first[static 256])
{
	char text[4096] = "";
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	int lines = 0;

	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	assert_true(length >= 0);
	for (char *at = strchr(text, '\n'); at; at = strchr(at + 1, '\n'))
		lines++;
	snprintf(first, 256, "%.*s", (int)strcspn(text, "\n"), text);
	return lines;
}

/* Lets the timer come, once. */
static void tick(struct world *world)
{
	assert_true(uv_is_active((uv_handle_t *)&world->history->timer));
	uv_run(&world->loop, UV_RUN_ONCE);
}

static sqlite3 *hold(struct fixture *f)
{
	sqlite3 *other;

	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return other;
}

/* Somebody else holds the database: the queue is bounded, what is dropped is counted, and all goes on when they leave.
 */
static void test_busy(void **state)
{
	struct fixture *f = *state;
	struct world world;
	struct range range;
	sqlite3 *other;
	char first[256];
	int saved, log;

	begin(&world, f);
	add(&world, "a", 0);
	settle(&world);
	other = hold(f);
	log = open_log(&saved);
	add(&world, "b", 1);
	for (uint64_t i = 1; i <= HISTORY_QUEUE_MAX + 500; i++)
		add(&world, "a", i);
	tick(&world);
	tick(&world);
	assert_int_equal(close_log(log, saved, first), 1);
	assert_non_null(strstr(first, "what is done with consoles is not written down for now"));
	assert_non_null(strstr(first, "locked"));
	assert_int_equal(world.history->count, HISTORY_QUEUE_MAX);
	range = range_of(&world, "b");
	assert_int_equal(range.count + range.lost, 1); /* alone, it has become the note of its own loss */

	log_set_level(LOG_LEVEL_INFO);
	log = open_log(&saved);
	sqlite3_close(other);
	settle(&world);
	log_set_level(LOG_LEVEL_WARN);
	assert_int_equal(close_log(log, saved, first), 1);
	assert_non_null(strstr(first, "written down again"));
	range = range_of(&world, "a"); /* all of the queue but the two notes, of which one is older than HISTORY_MAX */
	assert_int_equal(range.count, HISTORY_MAX);
	assert_int_equal(range.last, HISTORY_QUEUE_MAX + 500);
	assert_query(f, "SELECT count FROM history WHERE instance = 'b'", "1");
	end(&world);
}

static void test_lost_is_told(void **state)
{
	struct fixture *f = *state;
	struct world world;
	struct range range;
	sqlite3 *other;
	char first[256];
	int saved, log;

	begin(&world, f);
	log = open_log(&saved);
	other = hold(f);
	for (uint64_t i = 1; i <= HISTORY_QUEUE_MAX / 2; i++)
		add(&world, "a", i);
	for (uint64_t i = 1; i <= HISTORY_QUEUE_MAX; i++)
		add(&world, "b", i);
	tick(&world);
	sqlite3_close(other);
	settle(&world);
	close_log(log, saved, first);
	range = range_of(&world, "a");
	assert_int_equal(range.count, 0);
	assert_int_equal(range.lost, HISTORY_QUEUE_MAX / 2);
	assert_acts(&world, "a", "lost*512 ");
	range = range_of(&world, "b");
	assert_int_equal(range.count, HISTORY_MAX);
	assert_int_equal(range.last, HISTORY_QUEUE_MAX);
	end(&world);
}

/* What stood for several is as many lost. */
static void test_repeated_and_lost(void **state)
{
	struct fixture *f = *state;
	struct world world;
	char first[256];
	sqlite3 *other;
	int saved, log;

	begin(&world, f);
	log = open_log(&saved);
	other = hold(f);
	for (int i = 0; i < 5; i++)
		read_log(&world, "a", &somebody);
	for (uint64_t i = 1; i <= HISTORY_QUEUE_MAX; i++)
		add(&world, "b", i);
	tick(&world);
	sqlite3_close(other);
	settle(&world);
	close_log(log, saved, first);
	assert_acts(&world, "a", "lost*5 ");
	end(&world);
}

/* Each of very many has one act: their losses are told as long as there is room for that. */
static void test_many_instances(void **state)
{
	struct fixture *f = *state;
	struct world world;
	sqlite3 *other;
	char first[256], name[32];
	int saved, log;

	begin(&world, f);
	log = open_log(&saved);
	other = hold(f);
	for (unsigned int i = 0; i < 3 * HISTORY_QUEUE_MAX; i++) {
		snprintf(name, sizeof(name), "i%u", i);
		add(&world, name, i);
		assert_true(world.history->count <= HISTORY_QUEUE_MAX);
	}
	tick(&world);
	sqlite3_close(other);
	settle(&world);
	close_log(log, saved, first);
	assert_acts(&world, "i3071", "3071 ");
	assert_query(f, "SELECT count(*) FROM history", "1024");
	end(&world);
}

/* What is not to be waited for is not waited for; the store's other users have their patience back afterwards. */
static void test_impatient(void **state)
{
	struct fixture *f = *state;
	const struct store_act act = {.instance = "a", .action = "log-read", .count = 1}, *acts[] = {&act};
	int64_t least = INT64_MAX, before;
	sqlite3 *other;

	open_store(f);
	other = hold(f);
	for (int i = 0; i < 5; i++) {
		before = timestamp_now();
		assert_int_equal(store_add_acts(f->store, acts, 1, HISTORY_MAX, false, &f->error), -EBUSY);
		if (timestamp_now() - before < least)
			least = timestamp_now() - before;
	}
	assert_true(least < 250 * INT64_C(1000000));
	before = timestamp_now();
	assert_int_equal(store_add_acts(f->store, acts, 1, HISTORY_MAX, true, &f->error), -EBUSY);
	assert_true(timestamp_now() - before > 400 * INT64_C(1000000));
	before = timestamp_now();
	assert_int_equal(insert(f, "a", "{}"), -EBUSY);
	assert_true(timestamp_now() - before > 400 * INT64_C(1000000));
	sqlite3_close(other);
	assert_int_equal(store_add_acts(f->store, acts, 1, HISTORY_MAX, false, &f->error), 0);
}

/* A database that refuses changes, or has no table for them: nothing of it is seen but a line in the log. */
static void test_refusing(void **state)
{
	static const char *const damages[] = {
		"CREATE TRIGGER refuse BEFORE INSERT ON history BEGIN SELECT RAISE(FAIL, 'no more'); END",
		"CREATE TRIGGER refuse BEFORE INSERT ON history WHEN new.sent = 2 BEGIN"
		" SELECT RAISE(ROLLBACK, 'no more'); END",
	};
	struct fixture *f = *state;
	struct world world;
	char first[256];
	int saved, log;

	begin(&world, f);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		run_sql(f, damages[i]);
		log = open_log(&saved);
		add(&world, "a", 1);
		add(&world, "a", 2);
		tick(&world);
		tick(&world);
		assert_int_equal(close_log(log, saved, first), 1);
		assert_non_null(strstr(first, "no more"));
		assert_acts(&world, "a", "1 2 "); /* once each: not one was written */
		assert_int_equal(insert(f, "b", "{}"), 0);
		assert_int_equal(store_delete(f->store, "b", &f->error), 0);
		run_sql(f, "DROP TRIGGER refuse");
		settle(&world);
		assert_acts(&world, "a", "1 2 ");
		history_forget(world.history, "a");
	}
	end(&world);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct world world;
	char first[256], text[64] = "";
	int saved, log;

	begin(&world, f);
	run_sql(f, "DROP TABLE history");
	log = open_log(&saved);
	add(&world, "a", 1);
	tick(&world);
	assert_int_equal(history_each(world.history, "a", 0, 5, append_act, text, &f->error), -EIO);
	assert_non_null(strstr(f->error.text, "no such table"));
	assert_string_equal(text, "");
	history_forget(world.history, "b");
	end(&world);
	assert_int_equal(close_log(log, saved, first), 3); /* the write, the forgetting, what is lost at the end */
	assert_non_null(strstr(first, "no such table"));
}

static void fill(const char *path)
{
	static const char zeros[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* A small file system of our own without any room; it is gone with this process. */
static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	struct world world;
	struct range range;
	char filler[96], first[256];
	uint64_t i = 0;
	int saved, log;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", f->directory, "tmpfs", 0, "size=512k") < 0) {
		print_message("cannot mount a file system: %s\n", strerror(errno));
		skip();
	}
	begin(&world, f);
	add(&world, "a", ++i);
	settle(&world); /* what SQLite needs for reading is there */
	log = open_log(&saved);
	snprintf(filler, sizeof(filler), "%s/filler", f->directory);
	fill(filler);
	while (!world.history->failing && i < 2 * HISTORY_QUEUE_MAX) {
		add(&world, "a", ++i);
		tick(&world);
	}
	assert_true(world.history->failing && world.history->count > 0);
	add(&world, "a", ++i);
	tick(&world);
	assert_int_equal(close_log(log, saved, first), 1);
	assert_non_null(strstr(first, f->path));
	range = range_of(&world, "a");
	assert_int_equal(range.count, i);
	assert_int_equal(unlink(filler), 0);
	log = open_log(&saved);
	settle(&world);
	close_log(log, saved, first);
	range = range_of(&world, "a");
	assert_int_equal(range.count, i);
	end(&world);
	assert_query(f, "PRAGMA integrity_check", "ok");
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(umount2(f->directory, MNT_DETACH), 0);
}

/* Acts for ever, and says how many are written. */
static void act_for_ever(struct fixture *f, int told)
{
	struct world world;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(1);
	begin(&world, f);
	for (uint64_t i = 1;; i++) {
		add(&world, "a", i);
		add(&world, "a", ++i);
		settle(&world);
		if (write(told, "", 1) != 1)
			_exit(1);
	}
}

/* What was written is there after kill -9, and a batch is there as a whole or not at all. */
static void test_killed(void **state)
{
	struct fixture *f = *state;
	struct world world;
	struct range range;
	unsigned int told = 0;
	int pipes[2], status;
	char bytes[64];
	ssize_t n;
	pid_t child;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		act_for_ever(f, pipes[1]);
	close(pipes[1]);
	while (told < 4) {
		n = read(pipes[0], bytes, sizeof(bytes));
		assert_true(n > 0);
		told += n;
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while ((n = read(pipes[0], bytes, sizeof(bytes))) > 0)
		told += n;
	close(pipes[0]);
	begin(&world, f);
	range = range_of(&world, "a");
	assert_int_equal(range.first, 1);
	assert_true(range.count == 2 * told || range.count == 2 * told + 2);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_queued),         TEST(test_fields),          TEST(test_names),
		TEST(test_clock_set_back), TEST(test_limit_and_since), TEST(test_bound),
		TEST(test_burst),          TEST(test_rename),          TEST(test_delete),
		TEST(test_not_ours),       TEST(test_new_instance),    TEST(test_busy),
		TEST(test_repeated),       TEST(test_not_repeated),    TEST(test_repeated_and_lost),
		TEST(test_lost_is_told),   TEST(test_many_instances),  TEST(test_impatient),
		TEST(test_refusing),       TEST(test_damaged),         TEST(test_disk_full),
		TEST(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
