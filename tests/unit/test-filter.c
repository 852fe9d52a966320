// SPDX-License-Identifier: Apache-2.0
/* What is marked LXD is what LXD 5.0.2 says of the same expression. */
#include "api/filter.h"
#include "util/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char instance[] =
	"{\"name\": \"rec-a\", \"status\": \"Running\", \"status_code\": 103, \"ephemeral\": false, \"stateful\": true,"
	" \"type\": \"container\", \"description\": \"my  first (a|b\", \"profiles\": [\"default\"], \"location\": "
	"null,"
	" \"load\": 1.5, \"snapshots\": [],"
	" \"config\": {\"security.privileged\": \"true\", \"user.a\": \"b\", \"user\": \"plain\", \"image.os\": "
	"\"BusyBox\","
	"   \"user.empty\": \"\"},"
	" \"devices\": {\"root\": {\"path\": \"/\", \"type\": \"disk\", \"user.x.y\": \"z\"}},"
	" \"state\": {\"cpu\": {\"usage\": 7}}}";

static bool matches(const char *expression, const json_t *object)
{
	struct filter *filter = NULL;
	struct error error = {0};
	bool match;

	if (filter_create(&filter, expression, &error) != 0)
		fail_msg("%s: %s", expression, error_text(&error));
	match = filter_matches(filter, object);
	filter_destroy(filter);
	return match;
}

static const struct {
	const char *expression;
	bool match;
} cases[] = {
	{"", true},
	{" \t\n", true},
	/* as recorded from LXD */
	{"name eq rec-a", true},
	{"status eq running", true},
	{"status eq Running", true},
	{"name eq re", false},
	{"config.security.privileged eq true", true},
	{"name eq rec-a and status eq stopped", false},
	{"name ne rec-a", false},
	{"name ne rec-e", true},
	{"type eq container", true},
	{"config.image.os eq busybox and devices.root.path eq /", true},
	/* keywords and values in any case, fields in theirs */
	{"name EQ REC-A", true},
	{"name Ne rec-a", false},
	{"NOT name eq rec-a", false},
	{"name eq rec-a AND type eq container", true},
	{"name eq x Or type eq container", true},
	{"Name eq rec-a", false},
	/* blanks */
	{"  name\teq\nrec-a  ", true},
	/* paths */
	{"config.user.a eq b", true},
	{"config.user eq plain", true},
	{"config.user.a.b eq b", false},
	{"config.user.b eq b", false},
	{"config.user.b ne b", true},
	{"devices.root.type eq disk", true},
	{"devices.root.user.x.y eq z", true},
	{"state.cpu.usage eq 7", true},
	{"state.cpu.usage.x eq 7", false},
	{"name.x eq rec-a", false},
	{". eq x", false},
	{"config. eq x", false},
	{".config.user.a eq b", false},
	{"config..user.a eq b", false},
	/* what is not there is empty; LXD says so of keys of a config */
	{"bogus ne x", true},
	{"config.bogus eq ^$", true},
	{"config.bogus eq \"\"", true},
	{"config.user.empty eq \"\"", true},
	{"config.user.a eq \"\"", false},
	{"location eq \"\"", true},
	{"location eq null", false},
	/* what is no string */
	{"status_code eq 103", true},
	{"status_code eq 10.", false},
	{"ephemeral eq false", true},
	{"ephemeral eq FALSE", true},
	{"stateful eq true", true},
	{"stateful ne true", false},
	{"load eq 1.5", true},
	{"profiles eq [\"default\"]", true},
	{"snapshots eq []", true},
	{"devices.root eq x", false},
	/* quotes */
	{"name eq \"rec-a\"", true},
	{"description eq \"my  first (a|b\"", true},
	{"description eq \"MY  FIRST (a|b\" and name eq rec-a", true},
	{"description eq \"my first (a|b\"", false},
	{"name eq \"rec-a\" or name eq x", true},
	{"name eq 'rec-a'", false},
	{"name eq rec-a\"", false},
	{"name eq \"rec\"-a\"", false},
	{"not name eq \"a and b or c\"", true},
	{"\"name\" eq rec-a", false},
	/* regular expressions, as in LXD: of the whole, unless they say otherwise */
	{"name eq rec-.", true},
	{"name eq rec.*", true},
	{"name eq ec", false},
	{"name eq .*C-.*", true},
	{"name eq (rec|x)-[a-c]", true},
	{"name eq x|rec-a", true},
	{"name eq rec|x", false},
	{"name eq ^rec", true},
	{"name eq ^ec", false},
	{"name eq -a$", true},
	{"name eq -$", false},
	{"name eq ^rec-a$", true},
	{"name eq [^x]", true},
	{"name ne rec.*", false},
	{"name eq rec\\-a", true},
	{"name eq r+e+[c]+.+", true},
	{"name eq (x?rec|y)-a*", true},
	{"name eq (^rec$|^rec.*)", true}, /* what `incus list rec` asks for */
	{"name eq (^ec$|^ec.*)", false},
	/* none, so plain texts */
	{"name eq rec-(", false},
	{"name eq *", false},
	{"name eq +", false},
	{"name eq ?", false},
	{"name eq [", false},
	{"name eq \\", false},
	{"name eq **", false},
	{"name eq rec-a{1}", false},
	{"name eq (r)ec-a\\1", false},
	{"name eq \\wec-a", false},
	{"name eq rec-\\<a", false},
	{"name eq (rec)+-a", false},
	{"name eq (rec)*-a", false},
	{"name eq r++ec-a", false},
	{"name eq (|*)rec-a", false},
	/* not */
	{"not name eq rec-a", false},
	{"not name eq x", true},
	{"not name ne rec-a", true},
	{"name eq rec-a and not status eq stopped", true},
	{"name eq x or not status eq stopped", true},
	/* and, or: from left to right */
	{"name eq x or name eq y", false},
	{"name eq x or status eq running", true},
	{"name eq rec-a or name eq x and status eq stopped", false},
	{"status eq stopped and name eq x or name eq rec-a", true},
	{"name eq x or name eq rec-a and status eq running", true},
	{"name eq x and name eq rec-a or name eq rec-a and status eq stopped", false},
	/* words of the language where they are data */
	{"name eq and", false},
	{"name ne and and name ne or", true},
	{"name ne not", true},
	{"eq eq eq", false},
	{"and ne or or or ne and", true},
};

static void test_matches(void **state)
{
	json_auto_t *object = json_loads(instance, 0, NULL);

	assert_non_null(object);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (matches(cases[i].expression, object) != cases[i].match)
			fail_msg("%s: %s", cases[i].expression, cases[i].match ? "does not match" : "matches");
}

/* `not` and `ne` are each the opposite, for every field there is. */
static void test_opposites(void **state)
{
	static const char *const fields[] = {"name",  "status_code", "ephemeral", "profiles",
					     "bogus", "location",    "config",    "config.user.a"};
	json_auto_t *object = json_loads(instance, 0, NULL);
	char expression[64];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		bool equal;

		snprintf(expression, sizeof(expression), "%s eq .*", fields[i]);
		equal = matches(expression, object);
		snprintf(expression, sizeof(expression), "%s ne .*", fields[i]);
		assert_int_equal(matches(expression, object), !equal);
		snprintf(expression, sizeof(expression), "not %s eq .*", fields[i]);
		assert_int_equal(matches(expression, object), !equal);
		snprintf(expression, sizeof(expression), "not %s ne .*", fields[i]);
		assert_int_equal(matches(expression, object), equal);
	}
}

static void test_not_an_object(void **state)
{
	json_auto_t *array = json_array(), *text = json_string("name");

	assert_false(matches("name eq x", NULL));
	assert_false(matches("name.a eq x", array));
	assert_true(matches("name ne x", text));
	assert_true(matches("", NULL));
}

static void test_refused(void **state)
{
	static const struct {
		const char *expression, *reason;
	} refused[] = {
		/* LXD's words */
		{"not", "Invalid filter: incomplete not clause"},
		{"foo", "Invalid filter: clause has no operator"},
		{"bogus", "Invalid filter: clause has no operator"},
		{"not foo", "Invalid filter: clause has no operator"},
		{"not not", "Invalid filter: clause has no operator"},
		{"name eq", "Invalid filter: clause has no value"},
		{"name eq ", "Invalid filter: clause has no value"},
		{"name bogus", "Invalid filter: clause has no value"},
		{"not name eq", "Invalid filter: clause has no value"},
		{"foo eq \"bar", "Invalid filter: unterminated quote"},
		{"foo eq bar and", "Invalid filter: unterminated compound clause"},
		{"foo eq bar or ", "Invalid filter: unterminated compound clause"},
		{"foo eq \"bar egg\" and", "Invalid filter: unterminated compound clause"},
		{"foo eq bar xxx", "Invalid filter: invalid clause composition"},
		{"foo eq bar not", "Invalid filter: invalid clause composition"},
		{"foo eq bar and foo", "Invalid filter: clause has no operator"},
		{"foo eq bar or foo ne", "Invalid filter: clause has no value"},
		{"foo eq bar and not", "Invalid filter: incomplete not clause"},
		/* our own */
		{"foo eq \"", "Invalid filter: unterminated quote"},
		{"foo eq \"bar\"x", "Invalid filter: unterminated quote"},
		{"foo like bar", "Invalid filter: unknown operator \"like\""},
		{"foo = bar", "Invalid filter: unknown operator \"=\""},
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct filter *filter = NULL;
		struct error error = {0};

		assert_int_equal(filter_create(&filter, refused[i].expression, &error), -EINVAL);
		assert_null(filter);
		assert_int_equal(error.code, -EINVAL);
		assert_string_equal(error.text, refused[i].reason);
		assert_int_equal(filter_create(&filter, refused[i].expression, NULL), -EINVAL);
	}
	filter_destroy(NULL);
}

/* `count` times "a eq b", joined by or. */
static char *many_clauses(size_t count)
{
	static const char unit[] = "a eq b or ";
	char *text = malloc(count * strlen(unit) + 1);

	assert_non_null(text);
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		strcpy(text + i * strlen(unit), unit);
	text[count * strlen(unit) - strlen(" or ")] = '\0';
	return text;
}

static void test_bounds(void **state)
{
	json_auto_t *object = json_pack("{s:s}", "a", "b");
	cleanup_free char *most = many_clauses(64), *more = many_clauses(65), *far_more = many_clauses(100000);
	struct filter *filter;
	struct error error = {0};

	assert_true(matches(most, object));
	assert_int_equal(filter_create(&filter, more, &error), -EINVAL);
	assert_string_equal(error.text, "Invalid filter: more than 64 clauses");
	assert_int_equal(filter_create(&filter, far_more, NULL), -EINVAL);
}

/* Patterns are compiled and tried up to a length only; equal is equal at any. */
static void test_long_values(void **state)
{
	cleanup_free char *dots = malloc(2000 + 1), *expression = NULL, *nested = NULL;
	json_auto_t *object = NULL;

	assert_non_null(dots);
	memset(dots, '.', 2000);
	dots[2000] = '\0';
	object = json_pack("{s:s, s:s}", "long", dots, "short", "x");
	assert_true(asprintf(&expression, "long eq %s", dots) > 0);
	assert_true(matches(expression, object));
	assert_false(matches("long eq .*", object));
	memcpy(expression, "none", 4);
	assert_false(matches(expression, object));
	memset(dots, '(', 2000);
	assert_true(asprintf(&nested, "short ne %s", dots) > 0);
	assert_true(matches(nested, object));
}

/* What makes a backtracking matcher run for ever ends at once. */
static void test_hostile_pattern(void **state)
{
	char text[1025];
	json_auto_t *object = NULL;

	memset(text, 'a', 1024);
	text[1024] = '\0';
	object = json_pack("{s:s}", "a", text);
	assert_false(matches("a eq .*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*b", object));
	assert_true(matches("a eq .*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*a", object));
	assert_false(
		matches("a eq a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?aaaaaaaaaaaaaaab$", object));
	assert_false(matches("a eq (a*)*(a|aa)*(a|a?)*b", object));
	assert_false(matches("a eq a+++++++++++++++++++++++++++++++++++++++++++++b", object));
	assert_false(
		matches("a eq ((((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+b", object));
	assert_false(
		matches("a eq ((((((((((((((((((((((((a|^)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*$)*b", object));
}

/* Texts that drive an automaton into ever new states: all that one filter may cost is bounded, and said. */
static void test_costly_pattern(void **state)
{
	cleanup_free char *expression = NULL;
	char text[1025] = "", pattern[241];
	struct filter *filter = NULL;
	unsigned int random = 1;
	int r = 0, rounds;

	memset(pattern, '.', 240);
	pattern[240] = '\0';
	assert_true(asprintf(&expression, "a eq .*a%sx or a eq .*b%sx", pattern, pattern) > 0);
	assert_int_equal(filter_create(&filter, expression, NULL), 0);
	for (rounds = 0; r == 0 && rounds < 1000; rounds++) {
		json_auto_t *object = NULL;

		for (size_t i = 0; i < 1024; i++)
			text[i] = (char)('a' + (random = random * 1103515245 + 12345) / 65536 % 3);
		object = json_pack("{s:s}", "a", text);
		r = filter_matches(filter, object);
	}
	assert_int_equal(r, -E2BIG);
	assert_in_range(rounds, 5, 50);
	filter_destroy(filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),         cmocka_unit_test(test_opposites),
		cmocka_unit_test(test_not_an_object),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),          cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_hostile_pattern), cmocka_unit_test(test_costly_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
