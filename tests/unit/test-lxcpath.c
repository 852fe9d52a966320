// SPDX-License-Identifier: Apache-2.0
/* LXC's containers seen from the outside: what is defined, what runs, and the news of both. */
#include "instances/lxcpath.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define PATIENCE 5000 /* ms */

struct fixture {
	char directory[64]; /* removed with all that is in it */
	char path[128];
	uv_loop_t loop;
	uv_timer_t patience;
	struct lxcpath *lxcpath;
	unsigned int news;
	char started[256]; /* as `found` */
	bool late;
	char found[256]; /* the names, each with a blank behind it, in order */
	int64_t defined_at;
};

/* --- a directory with containers --- */

static void on_news(const char *name, void *user)
{
	struct fixture *f = user;

	if (!name)
		f->news++;
	else if (strstr(name, strrchr(f->directory, '-'))) /* others start containers, too */
		snprintf(f->started + strlen(f->started), sizeof(f->started) - strlen(f->started), "%s ", name);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->directory, "/tmp/lxcpath-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/lxc", f->directory);
	assert_int_equal(mkdir(f->path, 0755), 0);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	uv_timer_init(&f->loop, &f->patience);
	f->patience.data = f;
	assert_int_equal(lxcpath_create(&f->lxcpath, &f->loop, f->path, on_news, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	lxcpath_destroy(f->lxcpath);
	uv_close((uv_handle_t *)&f->patience, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	snprintf(command, sizeof(command), "rm -r %s", f->directory);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static const char *place(struct fixture *f, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return path;
}

static void make_directory(struct fixture *f, const char *name)
{
	assert_int_equal(mkdir(place(f, name), 0755), 0);
}

static void make_file(struct fixture *f, const char *name)
{
	int fd = open(place(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char *names[16];
	size_t count;
	int64_t defined_at;
};

static void collect(const char *name, int64_t defined_at, void *user)
{
	struct names *names = user;

	assert_true(names->count < 16);
	names->names[names->count++] = strdup(name);
	names->defined_at = defined_at;
}

static const char *found(struct fixture *f)
{
	struct names names = {0};

	f->found[0] = '\0';
	assert_int_equal(lxcpath_each(f->lxcpath, collect, &names), 0);
	qsort(names.names, names.count, sizeof(names.names[0]), by_name);
	for (size_t i = 0; i < names.count; i++) {
		strcat(strcat(f->found, names.names[i]), " ");
		free(names.names[i]);
	}
	f->defined_at = names.defined_at;
	return f->found;
}

/* --- news --- */

static void on_late(uv_timer_t *timer)
{
	struct fixture *f = timer->data;

	f->late = true;
}

/* Runs the loop until there is news that has made `expected` what is found. */
static void await(struct fixture *f, const char *expected)
{
	uv_timer_start(&f->patience, on_late, PATIENCE, 0);
	for (;;) {
		while (!f->news && !f->late)
			uv_run(&f->loop, UV_RUN_ONCE);
		f->news = 0;
		if (strcmp(found(f), expected) == 0)
			break;
		if (f->late)
			fail_msg("no news that led to \"%s\"; found is \"%s\"", expected, f->found);
	}
	uv_timer_stop(&f->patience);
}

/* --- definitions --- */

static void test_definitions(void **state)
{
	struct fixture *f = *state;
	struct stat status;
	int64_t defined_at;

	make_directory(f, "b");
	make_directory(f, "a");
	make_file(f, "a/config");
	make_directory(f, "config-is-a-directory");
	make_directory(f, "config-is-a-directory/config");
	make_file(f, "a-file");
	make_directory(f, ".hidden");
	make_file(f, ".hidden/config");
	assert_string_equal(found(f), "a ");
	assert_int_equal(stat(place(f, "a/config"), &status), 0);
	assert_int_equal(f->defined_at / 1000000000, status.st_mtim.tv_sec);
	assert_int_equal(f->defined_at % 1000000000, status.st_mtim.tv_nsec);
	assert_int_equal(lxcpath_find(f->lxcpath, "a", &defined_at), 0);
	assert_int_equal(defined_at, f->defined_at);
	assert_int_equal(lxcpath_find(f->lxcpath, "b", &defined_at), -ENOENT);
	assert_int_equal(lxcpath_find(f->lxcpath, "a-file", &defined_at), -ENOENT);
	assert_int_equal(lxcpath_find(f->lxcpath, "none", &defined_at), -ENOENT);
	assert_int_equal(lxcpath_find(f->lxcpath, ".", &defined_at), -ENOENT);
}

static void test_no_directory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->path), 0);
	assert_string_equal(found(f), "");
	assert_int_equal(mkdir(f->path, 0755), 0);
	assert_string_equal(found(f), ""); /* and is watched from here on */
	make_directory(f, "a");
	make_file(f, "a/config");
	await(f, "a ");
}

/* A template makes the directory first, and its config some time later. */
static void test_config_comes_later(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(found(f), "");
	make_directory(f, "a");
	await(f, "");
	make_directory(f, "a/rootfs");
	await(f, "");
	make_file(f, "a/config");
	await(f, "a ");
}

static void test_moved_and_removed(void **state)
{
	struct fixture *f = *state;
	char from[256];

	make_directory(f, "a");
	make_file(f, "a/config");
	await(f, "a ");
	strcpy(from, place(f, "a"));
	assert_int_equal(rename(from, place(f, "b")), 0);
	await(f, "b ");
	assert_int_equal(unlink(place(f, "b/config")), 0);
	assert_int_equal(rmdir(place(f, "b")), 0);
	await(f, "");
}

/* --- monitors --- */

/* The cgroup of a monitor, as liblxc makes it: `suffix` behind a name that is this test's. */
static void make_cgroup(struct fixture *f, const char *suffix, char name[static 64])
{
	static const char *const roots[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"};
	char path[128];

	snprintf(name, 64, "c%sx%s", strrchr(f->directory, '-'), suffix);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/lxc.monitor.%s", roots[i], name);
		if (mkdir(path, 0755) == 0) {
			assert_int_equal(rmdir(path), 0);
			return;
		}
	}
	print_message("no cgroup can be made here\n");
	skip();
}

static void await_started(struct fixture *f, const char *expected)
{
	uv_timer_start(&f->patience, on_late, PATIENCE, 0);
	while (!f->late && strlen(f->started) < strlen(expected))
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_timer_stop(&f->patience);
	assert_string_equal(f->started, expected);
}

static void test_start(void **state)
{
	struct fixture *f = *state;
	char name[64], expected[160];

	make_cgroup(f, "", name);
	snprintf(expected, sizeof(expected), "%s ", name);
	await_started(f, expected);
	assert_int_equal(f->news, 0);
}

/* Either name may be meant. */
static void test_start_numbered(void **state)
{
	struct fixture *f = *state;
	char name[64], expected[160];

	make_cgroup(f, "-12", name);
	snprintf(expected, sizeof(expected), "%s %.*s ", name, (int)strlen(name) - 3, name);
	await_started(f, expected);
}

/* Binds an abstract name as a monitor does. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(name) < sizeof(address.sun_path) - 1);
	memcpy(address.sun_path + 1, name, strlen(name));
	if (bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) < 0 ||
	    listen(fd, 1) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_running(void **state)
{
	struct fixture *f = *state;
	char name[256];
	int fd;

	assert_false(lxcpath_running(f->path, "a"));
	snprintf(name, sizeof(name), "%s/a/command", f->path);
	fd = listen_at(name);
	assert_true(fd >= 0);
	assert_true(lxcpath_running(f->path, "a"));
	assert_false(lxcpath_running(f->path, "b"));
	close(fd);
	assert_false(lxcpath_running(f->path, "a"));
}

/* What liblxc 5.0.2 was seen to bind: the last that fits as it is, and the first that does not. */
static void test_long_names(void **state)
{
	char path[128] = "/tmp/lxcpath-", name[160];
	int fd, tries = 0;

	memset(path + strlen(path), 'l', 81);
	snprintf(name, sizeof(name), "%s/c1/command", path);
	assert_int_equal(strlen(name), 105);
	do
		fd = listen_at(name); /* a fixed name, which another run of this test may have for a moment */
	while (fd < 0 && ++tries < 1000 && usleep(1000) == 0);
	assert_true(fd >= 0);
	assert_true(lxcpath_running(path, "c1"));
	close(fd);
	strcat(path, "l");
	do
		fd = listen_at("lxc/a46dc25ace650132/command");
	while (fd < 0 && ++tries < 1000 && usleep(1000) == 0);
	assert_true(fd >= 0);
	assert_true(lxcpath_running(path, "c1"));
	close(fd);
}

/* Any user may bind the name. */
static void test_impostor(void **state)
{
	struct fixture *f = *state;
	int ends[2], status;
	char name[256], byte;
	pid_t child;

	if (geteuid() != 0)
		skip(); /* nobody else to be */
	snprintf(name, sizeof(name), "%s/a/command", f->path);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[0]);
		if (setuid(NOBODY) < 0 || listen_at(name) < 0 || write(ends[1], "", 1) != 1)
			_exit(1);
		_exit(read(ends[1], &byte, 1) == 0 ? 0 : 1); /* the listener goes with us */
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_false(lxcpath_running(f->path, "a"));
	assert_int_equal(chown(f->path, NOBODY, NOBODY), 0); /* then it is nobody's own container */
	assert_true(lxcpath_running(f->path, "a"));
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_definitions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_numbered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_running, setup, teardown),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test_setup_teardown(test_impostor, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
