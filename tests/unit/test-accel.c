// SPDX-License-Identifier: Apache-2.0
/* Scripts stand in for QEMU: they end as it does when KVM works, fails, or is too slow. */
#include "pty/targets/accel.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKS "exit 3"
#define FAILS "exit 1"
#define SLOW "while :; do :; done"

static char place[] = "/tmp/consoled-accel-XXXXXX";

static int make_place(void **state)
{
	return mkdtemp(place) && chdir(place) == 0 ? 0 : -1;
}

static int remove_place(void **state)
{
	unlink("cache");
	unlink("said");
	unlink("tries");
	unlink("qemu");
	return chdir("/") == 0 && rmdir(place) == 0 ? 0 : -1;
}

static void make_qemu(const char *rest)
{
	FILE *file = fopen("qemu", "w");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\nexec >>tries; echo $*\n%s\n", rest);
	assert_int_equal(fchmod(fileno(file), 0700), 0);
	assert_int_equal(fclose(file), 0);
}

/* Runs it with stderr in a file, and checks which it takes and that it says so. */
static void check_resolve(const char *device, const char *cache, const char *accel, const char *reason)
{
	char qemu[] = "./qemu", option[] = "-accel", automatic[] = "auto", other[] = "-S", said[128] = "",
	     expected[128];
	char *argv[] = {qemu, other, option, automatic, other, NULL};
	int saved = dup(STDERR_FILENO), file = open("said", O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(saved >= 0 && file >= 0);
	dup2(file, STDERR_FILENO);
	accel_resolve(argv, device, cache);
	dup2(saved, STDERR_FILENO);
	assert_true(pread(file, said, sizeof(said) - 1, 0) >= 0);
	close(saved);
	close(file);
	assert_string_equal(argv[3], accel);
	snprintf(expected, sizeof(expected), ACCEL_PREFIX "consoled.accel=auto is %s: %s\n", accel, reason);
	assert_string_equal(said, expected);
}

/* How often QEMU has been run since the last time this was asked, with KVM each time. */
static int tries(void)
{
	FILE *file = fopen("tries", "r");
	char line[512];
	int count = 0;

	while (file && fgets(line, sizeof(line), file)) {
		assert_memory_equal(line, "-accel kvm ", strlen("-accel kvm "));
		count++;
	}
	if (file)
		fclose(file);
	unlink("tries");
	return count;
}

static void test_said(void **state)
{
	char qemu[] = "./qemu", option[] = "-accel", tcg[] = "tcg";
	char *argv[] = {qemu, option, tcg, NULL}, *last[] = {qemu, option, NULL};

	make_qemu(WORKS);
	accel_resolve(argv, "/dev/null", "cache");
	accel_resolve(last, "/dev/null", "cache");
	assert_string_equal(argv[2], "tcg");
	assert_int_equal(tries(), 0);
	assert_int_equal(access("cache", F_OK), -1);
}

static void test_without(void **state)
{
	make_qemu(WORKS);
	check_resolve("nowhere", "cache", "tcg", "there is no KVM");
	assert_int_equal(tries(), 0);
	assert_int_equal(access("cache", F_OK), -1);
}

static void test_works(void **state)
{
	make_qemu(WORKS);
	check_resolve("/dev/null", "cache", "kvm", "KVM works");
	assert_int_equal(tries(), 1);
	make_qemu(FAILS);
	check_resolve("/dev/null", "cache", "kvm", "KVM works, as was found earlier");
	check_resolve("nowhere", "cache", "tcg", "there is no KVM"); /* any more */
	assert_int_equal(tries(), 0);
	unlink("cache");
}

/* Failure may have any reason, so each start tries again. */
static void test_fails(void **state)
{
	make_qemu(FAILS);
	check_resolve("/dev/null", "cache", "tcg", "KVM was tried and failed");
	check_resolve("/dev/null", "cache", "tcg", "KVM was tried and failed");
	assert_int_equal(tries(), 2);
	make_qemu("kill -9 $$");
	check_resolve("/dev/null", "cache", "tcg", "KVM was tried and failed");
	unlink("qemu");
	check_resolve("/dev/null", "cache", "tcg", "KVM was tried and failed");
	tries();
	unlink("cache");
}

static void test_slow(void **state)
{
	make_qemu(SLOW);
	check_resolve("/dev/null", "cache", "tcg", "KVM is here, but too slow to be of use");
	assert_int_equal(tries(), 1);
	make_qemu(WORKS);
	check_resolve("/dev/null", "cache", "tcg", "KVM is too slow to be of use, as was found earlier");
	assert_int_equal(tries(), 0);
	unlink("cache");
}

/* Of another boot, cut short, or not to be had: it is tried. */
static void test_cache(void **state)
{
	static const char *const texts[] = {
		"00000000-0000-0000-0000-000000000000 tcg\n",
		"00000000-0000-0000-0000-000000000000",
		"",
	};

	make_qemu(WORKS);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int file = open("cache", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(write(file, texts[i], strlen(texts[i])), strlen(texts[i]));
		close(file);
		check_resolve("/dev/null", "cache", "kvm", "KVM works");
		check_resolve("/dev/null", "cache", "kvm", "KVM works, as was found earlier");
		assert_int_equal(tries(), 1);
	}
	unlink("cache");
	check_resolve("/dev/null", "nowhere/cache", "kvm", "KVM works");
	assert_int_equal(tries(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_said),  cmocka_unit_test(test_without), cmocka_unit_test(test_works),
		cmocka_unit_test(test_fails), cmocka_unit_test(test_slow),    cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
