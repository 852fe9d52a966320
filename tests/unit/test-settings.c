// SPDX-License-Identifier: Apache-2.0
/* The server's config: what may be set, what holds, and what becomes of a change that does not go through. */
#include "store-fixture.h"

#include "instances/settings.h"

#define NO_FILE "/nonexistent/lxc.conf"

/* What a change is applied to. */
struct world {
	char lxcpath[64], sessions[64];
	unsigned int calls;
	const char *refused; /* a value that it does not take */
};

static int apply(const char *key, const char *value, void *user, struct error *error)
{
	struct world *world = user;

	world->calls++;
	if (world->refused && strcmp(world->refused, value) == 0)
		return error_set(error, -EBUSY, "%s is busy", value);
	if (strcmp(key, "lxc.lxcpath") == 0)
		snprintf(world->lxcpath, sizeof(world->lxcpath), "%s", value);
	else if (strcmp(key, "limits.sessions") == 0)
		snprintf(world->sessions, sizeof(world->sessions), "%s", value);
	else
		fail_msg("%s has not changed", key);
	return 0;
}

static void open_settings(struct fixture *f, struct settings *settings)
{
	open_store(f);
	if (settings_init(settings, f->store, NO_FILE, &f->error) < 0)
		fail_msg("%s", error_text(&f->error));
}

static int change(struct fixture *f, struct settings *settings, bool merge, struct world *world, const char *text)
{
	json_auto_t *changes = json(text);

	f->error = (struct error){0};
	return settings_change(settings, changes, merge, apply, world, &f->error);
}

static void assert_values(const struct settings *settings, const char *expected)
{
	json_auto_t *values = json(expected);

	assert_true(json_equal(settings->values, values));
}

/* What the next daemon reads. */
static void assert_stored(struct fixture *f, const char *expected)
{
	json_auto_t *values = json(expected), *stored = NULL;

	assert_int_equal(store_load_config(f->store, &stored, &f->error), 0);
	assert_true(json_equal(stored, values));
}

static void test_defaults(void **state)
{
	struct fixture *f = *state;
	struct settings settings;

	open_settings(f, &settings);
	assert_values(&settings, "{}");
	assert_string_equal(settings_get(&settings, "lxc.lxcpath"), "/var/lib/lxc");
	assert_null(settings_get(&settings, "bogus"));
	settings_finish(&settings);
	settings_finish(&settings);
}

/* lxc.conf as liblxc reads it. */
static void test_lxc_conf(void **state)
{
	static const struct {
		const char *text, *lxcpath;
	} cases[] = {
		{"", "/var/lib/lxc"},
		{"lxc.lxcpath = /srv/lxc\n", "/srv/lxc"},
		{"lxc.lxcpath=/srv/lxc", "/srv/lxc"},
		{"# lxc.lxcpath = /no\n\n \t lxc.lxcpath\t=\t/srv/lxc//  \nlxc.lxcpath = /no\n", "/srv/lxc"},
		{"lxc.lxcpath = /\n", "/"},
		{"lxc.lxcpathx = /no\nlxc.lxcpath\nlxc.lxcpath =\n", "/var/lib/lxc"},
		{"lxc.lxcpath = srv\n", "/var/lib/lxc"},
		{"lxc.lxcpath = /\xff\n", "/var/lib/lxc"},
		{"lxc.default_config = /x\nlxc.lxcpath = /srv/with blank\n", "/srv/with blank"},
	};
	struct fixture *f = *state;
	char path[96];

	open_store(f);
	snprintf(path, sizeof(path), "%s/lxc.conf", f->directory);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct settings settings;
		FILE *file = fopen(path, "we");

		assert_non_null(file);
		fputs(cases[i].text, file);
		fclose(file);
		assert_int_equal(settings_init(&settings, f->store, path, &f->error), 0);
		assert_string_equal(settings_get(&settings, "lxc.lxcpath"), cases[i].lxcpath);
		assert_values(&settings, "{}");
		settings_finish(&settings);
	}
	assert_int_equal(unlink(path), 0);
}

static void test_set_and_unset(void **state)
{
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {0};

	open_settings(f, &settings);
	assert_int_equal(change(f, &settings, false, &world, "{\"lxc.lxcpath\": \"/srv/a\"}"), 0);
	assert_string_equal(settings_get(&settings, "lxc.lxcpath"), "/srv/a");
	assert_string_equal(world.lxcpath, "/srv/a");
	assert_values(&settings, "{\"lxc.lxcpath\": \"/srv/a\"}");
	settings_finish(&settings);
	store_close(f->store);
	f->store = NULL;

	open_settings(f, &settings); /* the next daemon */
	assert_string_equal(settings_get(&settings, "lxc.lxcpath"), "/srv/a");
	assert_int_equal(world.calls, 1);
	assert_int_equal(change(f, &settings, true, &world, "{}"), 0);
	assert_int_equal(change(f, &settings, false, &world, "{\"lxc.lxcpath\": \"/srv/a\"}"), 0);
	assert_int_equal(world.calls, 1); /* nothing has changed */
	assert_int_equal(change(f, &settings, false, &world, "{}"), 0);
	assert_string_equal(world.lxcpath, "/var/lib/lxc");
	assert_values(&settings, "{}");
	assert_stored(f, "{}");
	settings_finish(&settings);
}

/* "" and null unset; what is the default already is set and no change. */
static void test_ways_to_unset(void **state)
{
	static const char *const ways[] = {"{\"lxc.lxcpath\": \"\"}", "{\"lxc.lxcpath\": null}"};
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {0};

	open_settings(f, &settings);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/a\"}"), 0);
		assert_int_equal(change(f, &settings, i % 2, &world, ways[i / 2]), 0);
		assert_values(&settings, "{}");
		assert_string_equal(world.lxcpath, "/var/lib/lxc");
	}
	world.calls = 0;
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/var/lib/lxc\"}"), 0);
	assert_int_equal(world.calls, 0);
	assert_stored(f, "{\"lxc.lxcpath\": \"/var/lib/lxc\"}");
	settings_finish(&settings);
}

static void test_refused(void **state)
{
	static const struct {
		const char *changes, *error;
	} cases[] = {
		{"{\"bogus\": \"x\"}", "cannot set 'bogus' to 'x': unknown key"},
		{"{\"bogus\": \"\"}", "cannot set 'bogus' to '': unknown key"},
		{"{\"bogus\": null}", "cannot set 'bogus' to '': unknown key"},
		{"{\"lxc.lxcpath\": \"/srv/b\", \"\": \"x\"}", "cannot set '' to 'x': unknown key"},
		{"{\"lxc.lxcpath\": \"srv\"}", "cannot set 'lxc.lxcpath' to 'srv': not an absolute path"},
		{"{\"lxc.lxcpath\": \"/a\\nb\"}", "cannot set 'lxc.lxcpath' to '/a\nb': has a control character"},
		{"{\"lxc.lxcpath\": 1}", "cannot set 'lxc.lxcpath': invalid type float64"},
		{"{\"lxc.lxcpath\": true}", "cannot set 'lxc.lxcpath': invalid type bool"},
		{"{\"lxc.lxcpath\": [\"/a\"]}", "cannot set 'lxc.lxcpath': invalid type slice"},
		{"{\"lxc.lxcpath\": {}}", "cannot set 'lxc.lxcpath': invalid type map"},
	};
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {0};

	open_settings(f, &settings);
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/a\"}"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(change(f, &settings, i % 2, &world, cases[i].changes), -EINVAL);
		assert_int_equal(f->error.code, -EINVAL);
		assert_string_equal(f->error.text, cases[i].error);
	}
	assert_int_equal(world.calls, 1);
	assert_values(&settings, "{\"lxc.lxcpath\": \"/srv/a\"}");
	assert_stored(f, "{\"lxc.lxcpath\": \"/srv/a\"}");
	settings_finish(&settings);
}

/* What cannot take effect now is not stored. */
static void test_busy(void **state)
{
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {.refused = "/srv/b"};

	open_settings(f, &settings);
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/b\"}"), -EBUSY);
	assert_int_equal(f->error.code, -EBUSY);
	assert_string_equal(f->error.text, "cannot set 'lxc.lxcpath' to '/srv/b': /srv/b is busy");
	assert_values(&settings, "{}");
	assert_stored(f, "{}");
	settings_finish(&settings);
}

/* Of a change that is refused halfway nothing is left. */
static void test_refused_halfway(void **state)
{
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {.refused = "3"};

	open_settings(f, &settings);
	assert_int_equal(
		change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/a\", \"limits.sessions\": \"2\"}"), 0);
	assert_int_equal(
		change(f, &settings, true, &world, "{\"limits.sessions\": \"3\", \"lxc.lxcpath\": \"/srv/b\"}"),
		-EBUSY);
	assert_string_equal(f->error.text, "cannot set 'limits.sessions' to '3': 3 is busy");
	assert_string_equal(world.lxcpath, "/srv/a");
	assert_string_equal(world.sessions, "2");
	assert_values(&settings, "{\"lxc.lxcpath\": \"/srv/a\", \"limits.sessions\": \"2\"}");
	settings_finish(&settings);
}

/* What cannot be stored is undone. */
static void test_store_fails(void **state)
{
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {0};
	sqlite3 *other;

	open_settings(f, &settings);
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/a\"}"), 0);
	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/b\"}"), -EBUSY);
	sqlite3_close(other);
	assert_int_equal(world.calls, 3);
	assert_string_equal(world.lxcpath, "/srv/a");
	assert_values(&settings, "{\"lxc.lxcpath\": \"/srv/a\"}");
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/b\"}"), 0);
	assert_stored(f, "{\"lxc.lxcpath\": \"/srv/b\"}");
	settings_finish(&settings);
}

/* What an editor or a newer program has left: what we know counts, the next change drops the rest. */
static void test_strange_rows(void **state)
{
	struct fixture *f = *state;
	struct settings settings;
	struct world world = {0};

	open_store(f);
	run_sql(f, "INSERT INTO config VALUES ('bogus', 'x'), ('lxc.lxcpath', 'srv')");
	assert_int_equal(settings_init(&settings, f->store, NO_FILE, &f->error), 0);
	assert_values(&settings, "{}");
	assert_string_equal(settings_get(&settings, "lxc.lxcpath"), "/var/lib/lxc");
	assert_stored(f, "{\"bogus\": \"x\", \"lxc.lxcpath\": \"srv\"}");
	assert_int_equal(change(f, &settings, true, &world, "{\"lxc.lxcpath\": \"/srv/a\"}"), 0);
	assert_stored(f, "{\"lxc.lxcpath\": \"/srv/a\"}");
	settings_finish(&settings);

	run_sql(f, "INSERT INTO config VALUES ('broken', CAST(x'ff' AS TEXT))");
	assert_int_equal(settings_init(&settings, f->store, NO_FILE, &f->error), -EIO);
	assert_non_null(strstr(f->error.text, f->path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),        TEST(test_lxc_conf),    TEST(test_set_and_unset),
		TEST(test_ways_to_unset),   TEST(test_refused),     TEST(test_busy),
		TEST(test_refused_halfway), TEST(test_store_fails), TEST(test_strange_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
