// SPDX-License-Identifier: Apache-2.0
/*
 * A database whose machine goes down while it is written to. Nothing but a checkpoint waits for the disk, so that of
 * the write-ahead log there is what the kernel had written by then: not its end, and of its pages since the last
 * checkpoint some as they were before. What is there then is what was there after one of the last changes; at least all
 * that a checkpoint has taken over.
 */
#include "store-fixture.h"

#include "instances/store_acts.h"

#include <time.h>

#define PAGE 4096   /* of SQLite, and of what the kernel writes */
#define CHANGES 600 /* for some checkpoints */
#define DAMAGES 200

struct file {
	unsigned char *data;
	size_t size;
};

/* A daemon's changes, and what could be read after each. */
struct story {
	struct fixture *f;
	char directory[64], path[128]; /* where a copy is opened again */
	char *contents[CHANGES];
	unsigned int told, checkpoint; /* the change with the latest checkpoint behind it */
	struct file database, before;  /* now, and a change ago */
	struct file old_log;           /* as it was some changes ago */
	uint64_t random;
	char names[32][24];
	unsigned int count, made;
};

static uint64_t next_random(struct story *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random >> 8;
}

static void read_file(struct file *file, const char *path, const char *suffix)
{
	cleanup_close int fd = -1;
	struct stat status;
	char name[160];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	file->size = (size_t)status.st_size;
	file->data = realloc(file->data, file->size + 1);
	assert_int_equal(read(fd, file->data, file->size), file->size);
}

static void write_file(const char *path, const char *suffix, const struct file *file)
{
	cleanup_close int fd = -1;
	char name[160];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file->data, file->size), file->size);
}

static void copy_file(struct file *to, const struct file *from)
{
	to->data = realloc(to->data, from->size + 1);
	to->size = from->size;
	memcpy(to->data, from->data, from->size);
}

/* --- what is in it --- */

static int append_row(void *user, int columns, char **values, char **names)
{
	FILE *text = user;

	for (int i = 0; i < columns; i++)
		fprintf(text, "%s|", values[i] ? values[i] : "");
	fputc('\n', text);
	return 0;
}

/* All that is in the tables, as text. */
static char *read_content(const char *path)
{
	static const char every[] = "SELECT * FROM instances ORDER BY id; SELECT * FROM config ORDER BY key;"
				    "SELECT * FROM history ORDER BY instance, sequence; PRAGMA integrity_check";
	char *content = NULL, *message = NULL;
	size_t size;
	sqlite3 *database;
	FILE *text = open_memstream(&content, &size);

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	if (sqlite3_exec(database, every, append_row, text, &message) != SQLITE_OK)
		fail_msg("%s", message);
	sqlite3_close(database);
	fclose(text);
	return content;
}

/* --- a daemon's changes --- */

static void add_acts(struct story *s, const char *name)
{
	struct store_act act = {.instance = name, .action = "attach", .session = "s", .username = "root"};
	const struct store_act *acts[20];
	size_t count = next_random(s) % 20 + 1;

	act.time = (int64_t)next_random(s);
	for (size_t i = 0; i < count; i++)
		acts[i] = &act;
	assert_int_equal(store_add_acts(s->f->store, acts, count, 30, true, &s->f->error), 0);
}

static void save_config(struct story *s)
{
	json_auto_t *config = json_object();
	char key[32];

	for (uint64_t i = next_random(s) % 30; i > 0; i--) {
		snprintf(key, sizeof(key), "user.k%u", (unsigned int)i);
		json_object_set_new(config, key, json_sprintf("%u", s->told));
	}
	assert_int_equal(store_save_config(s->f->store, config, &s->f->error), 0);
}

static void create(struct story *s)
{
	char *name = s->names[s->count++];

	snprintf(name, sizeof(s->names[0]), "i%u", s->made++);
	assert_int_equal(insert(s->f, name, "{\"process.command\": \"sh -i\"}"), 0);
}

static void update(struct story *s, const char *name)
{
	char config[5000];
	struct store_row row;

	snprintf(config, sizeof(config), "{\"user.x\": \"%0*d\"}", (int)(next_random(s) % 4000) + 1, (int)s->told);
	row = make_row(name, config);
	assert_int_equal(store_update(s->f->store, &row, &s->f->error), 0);
	store_row_finish(&row);
}

static void change(struct story *s)
{
	unsigned int which = s->count ? (unsigned int)(next_random(s) % s->count) : 0;
	char *name = s->names[which], renamed[sizeof(s->names[0])];
	uint64_t what = next_random(s) % 10;

	if (!s->count || (what < 2 && s->count < 32)) {
		create(s);
	} else if (what < 3) {
		assert_int_equal(store_delete(s->f->store, name, &s->f->error), 0);
		memmove(name, s->names[--s->count], sizeof(renamed));
	} else if (what < 4) {
		snprintf(renamed, sizeof(renamed), "r%u", s->made++);
		assert_int_equal(store_rename(s->f->store, name, renamed, &s->f->error), 0);
		strcpy(name, renamed);
	} else if (what < 6) {
		update(s, name);
	} else if (what < 7) {
		save_config(s);
	} else {
		add_acts(s, name);
	}
}

/* Makes a change, and notes what that has done. */
static void tell(struct story *s)
{
	change(s);
	copy_file(&s->before, &s->database);
	read_file(&s->database, s->f->path, "");
	s->contents[s->told] = read_content(s->f->path);
	if (s->before.size != s->database.size || memcmp(s->before.data, s->database.data, s->database.size) != 0)
		s->checkpoint = s->told;
	if (next_random(s) % 20 == 0)
		read_file(&s->old_log, s->f->path, "-wal");
	s->told++;
}

static struct story *begin(struct fixture *f)
{
	struct story *s = calloc(1, sizeof(*s));
	const char *seed = getenv("STORE_POWER_SEED");

	s->f = f;
	s->random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	print_message("STORE_POWER_SEED=%llu\n", (unsigned long long)s->random);
	s->random = (s->random * UINT64_C(0x9e3779b97f4a7c15)) | 1;
	strcpy(s->directory, "/tmp/store-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->path, sizeof(s->path), "%s/consoled.db", s->directory);
	open_store(f);
	read_file(&s->database, f->path, "");
	s->contents[s->told++] = read_content(f->path);
	return s;
}

static void end(struct story *s)
{
	char name[160];

	for (unsigned int i = 0; i < s->told; i++)
		free(s->contents[i]);
	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", s->path, (const char *const[]){"", "-wal", "-shm", ".reserve"}[i]);
		unlink(name);
	}
	assert_int_equal(rmdir(s->directory), 0);
	free(s->database.data);
	free(s->before.data);
	free(s->old_log.data);
	free(s);
}

/* --- the machine goes down --- */

/* What lies in shared memory, if any, is of no use to anybody: it is made anew. */
static void leave_index(struct story *s)
{
	unsigned char rubbish[32768];
	struct file file = {rubbish, sizeof(rubbish)};

	for (size_t i = 0; i < sizeof(rubbish); i++)
		rubbish[i] = (unsigned char)next_random(s);
	if (next_random(s) % 2)
		file.size = 0;
	write_file(s->path, "-shm", &file);
}

/* Pages of the log that are zeros, or what they were some changes before; and its end is missing. */
static void damage_log(struct story *s, struct file *log)
{
	uint64_t odds = next_random(s) % 100 + 1;

	if (next_random(s) % 2)
		log->size = next_random(s) % (log->size + 1);
	for (size_t page = PAGE; page + PAGE <= log->size; page += PAGE) { /* the first one has been waited for */
		if (next_random(s) % odds)
			continue;
		if (s->old_log.size >= page + PAGE)
			memcpy(log->data + page, s->old_log.data + page, PAGE);
		else
			memset(log->data + page, 0, PAGE);
	}
}

/* Opens what is left as a daemon does, and goes on with it; what it was. */
static char *open_again(struct story *s)
{
	struct error error = {0};
	struct store *store;
	struct store_row row;
	char *content;

	if (store_open(&store, s->path, &error) < 0)
		fail_msg("%s", error_text(&error));
	content = read_content(s->path);
	assert_non_null(strstr(content, "ok|\n"));
	row = make_row("after", "{}");
	assert_int_equal(store_insert(store, &row, &error), 0);
	store_row_finish(&row);
	store_close(store);
	return content;
}

/* The latest change after which the content was that. */
static unsigned int find(const struct story *s, const char *content)
{
	for (unsigned int i = s->told; i-- > 0;)
		if (strcmp(s->contents[i], content) == 0)
			return i;
	fail_msg("something that never was");
	return 0;
}

/* Returns whether changes were lost. */
static bool cut(struct story *s)
{
	cleanup_free char *content = NULL;
	struct file log = {0};
	unsigned int found;

	read_file(&log, s->f->path, "-wal");
	if (s->checkpoint != s->told - 1) /* for a checkpoint all of it has been waited for */
		damage_log(s, &log);
	write_file(s->path, "", &s->database);
	write_file(s->path, "-wal", &log);
	free(log.data);
	leave_index(s);
	content = open_again(s);
	found = find(s, content); /* each change wholly, or not at all */
	assert_true(found >= s->checkpoint);
	return found < s->told - 1;
}

static void test_log_lost(void **state)
{
	struct story *s = begin(*state);
	unsigned int lost = 0, cuts = 0, checkpoints = 0;

	while (s->told < CHANGES) {
		tell(s);
		checkpoints += s->checkpoint == s->told - 1;
		if (next_random(s) % 3)
			continue;
		lost += cut(s);
		cuts++;
	}
	print_message("%u checkpoints in %u changes; %u of %u cuts lost some\n", checkpoints, s->told, lost, cuts);
	assert_true(checkpoints > 0 && lost > 0 && lost < cuts);
	end(s);
}

/* In the midst of a checkpoint: the log has been waited for, and is whole; the database's pages are old ones and new.
 */
static void cut_checkpoint(struct story *s)
{
	struct file mixed = {0}, log = {0};
	cleanup_free char *content = NULL;

	copy_file(&mixed, &s->database);
	for (size_t page = 0; page + PAGE <= s->before.size; page += PAGE)
		if (next_random(s) % 2)
			memcpy(mixed.data + page, s->before.data + page, PAGE);
	if (next_random(s) % 2)
		mixed.size = s->before.size;
	read_file(&log, s->f->path, "-wal");
	write_file(s->path, "", &mixed);
	write_file(s->path, "-wal", &log);
	free(mixed.data);
	free(log.data);
	leave_index(s);
	content = open_again(s);
	assert_string_equal(content, s->contents[s->told - 1]);
}

static void test_checkpoint_cut(void **state)
{
	struct story *s = begin(*state);
	unsigned int checkpoints = 0;

	while (s->told < CHANGES) {
		tell(s);
		if (s->checkpoint != s->told - 1)
			continue;
		checkpoints++;
		for (unsigned int again = 0; again < 20; again++)
			cut_checkpoint(s);
	}
	assert_true(checkpoints > 0);
	end(s);
}

static int look(const struct store_row *row, void *user)
{
	return 0;
}

static void look_at_act(const struct store_act *act, void *user)
{
}

/* Opens it and reads all that there is. */
static int read_all(struct story *s, struct error *error)
{
	json_auto_t *config = NULL;
	struct store *store = NULL;
	int r = store_open(&store, s->path, error);

	if (r == 0)
		r = store_each(store, look, NULL, error);
	if (r == 0)
		r = store_load_config(store, &config, error);
	if (r == 0)
		r = store_each_act(store, s->names[0], 0, 100, look_at_act, NULL, error);
	store_close(store);
	return r;
}

/* What no power cut does, but a disk: pages of the database itself that are gone. Refused in words, sooner or later. */
static void test_database_damaged(void **state)
{
	struct story *s = begin(*state);
	struct file damaged = {0};
	unsigned int refused = 0;

	while (s->told < 300)
		tell(s);
	run_sql(s->f, "PRAGMA wal_checkpoint");
	read_file(&s->database, s->f->path, "");
	for (unsigned int i = 0; i < DAMAGES; i++) {
		size_t page = next_random(s) % (s->database.size / PAGE) * PAGE;
		struct error error = {0};

		copy_file(&damaged, &s->database);
		if (next_random(s) % 3 == 0)
			damaged.size = next_random(s) % damaged.size;
		else if (next_random(s) % 2)
			memset(damaged.data + page, 0, PAGE);
		else
			for (unsigned int byte = 0; byte < 50; byte++)
				damaged.data[page + next_random(s) % PAGE] = (unsigned char)next_random(s);
		write_file(s->path, "", &damaged);
		write_file(s->path, "-wal", &(struct file){damaged.data, 0});
		leave_index(s);
		if (read_all(s, &error) == 0)
			continue;
		refused++;
		if (!strstr(error_text(&error), s->path))
			fail_msg("does not name the path: %s", error_text(&error));
	}
	print_message("%u of %u refused\n", refused, DAMAGES);
	assert_true(refused > 0);
	free(damaged.data);
	end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_log_lost),
		TEST(test_checkpoint_cut),
		TEST(test_database_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
