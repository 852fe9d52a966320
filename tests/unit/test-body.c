// SPDX-License-Identifier: Apache-2.0
/* JSON bodies, and Go's words for what is wrong with them (as LXD 5.0.2 was recorded to say them). */
#include "api/body.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

struct fields {
	const char *string;
	int64_t integer;
	bool boolean;
	json_t *strings, *map, *maps, *object;
};

static int decode(const char *text, enum body_mode mode, struct fields *fields, json_t **document, struct error *error)
{
	const struct request request = {.body = text, .body_length = strlen(text)};
	const struct body_field wanted[] = {
		{"string", BODY_STRING, &fields->string},
		{"integer", BODY_INTEGER, &fields->integer},
		{"boolean", BODY_BOOLEAN, &fields->boolean},
		{"strings", BODY_STRINGS, &fields->strings},
		{"map", BODY_MAP, &fields->map},
		{"maps", BODY_MAPS, &fields->maps},
		{"object", BODY_OBJECT, &fields->object},
		{0},
	};

	*fields = (struct fields){.string = "none", .integer = -7};
	return body_decode(&request, mode, "Thing", wanted, document, error);
}

static void refused(const char *text, enum body_mode mode, const char *words)
{
	struct error error = {0};
	struct fields fields;
	json_t *document;

	assert_int_equal(decode(text, mode, &fields, &document, &error), -EINVAL);
	assert_null(document);
	assert_string_equal(error.text, words);
}

static void test_fields(void **state)
{
	struct error error = {0};
	struct fields fields;
	json_t *document;

	assert_int_equal(
		decode("{\"String\":\"a\",\"INTEGER\":-80,\"boolean\":true,\"unknown\":[1],\"strings\":[\"x\"],"
		       "\"map\":{\"k\":\"v\"},\"maps\":{\"d\":{\"k\":\"v\"}},\"object\":{\"z\":1}}\n",
		       BODY_WHOLE, &fields, &document, &error),
		0);
	assert_string_equal(fields.string, "a");
	assert_int_equal(fields.integer, -80);
	assert_true(fields.boolean);
	assert_int_equal(json_array_size(fields.strings), 1);
	assert_string_equal(json_string_value(json_object_get(fields.map, "k")), "v");
	assert_int_equal(json_object_size(fields.maps), 1);
	assert_int_equal(json_object_size(fields.object), 1);
	json_decref(document);
}

/* null and what is not there leave a field as it was. */
static void test_absent(void **state)
{
	static const char *const texts[] = {"{}", " null ", "{\"string\":null,\"integer\":null,\"map\":null}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct error error = {0};
		struct fields fields;
		json_t *document;

		assert_int_equal(decode(texts[i], BODY_WHOLE, &fields, &document, &error), 0);
		assert_string_equal(fields.string, "none");
		assert_int_equal(fields.integer, -7);
		assert_null(fields.map);
		json_decref(document);
	}
}

static void test_syntax(void **state)
{
	refused("", BODY_WHOLE, "unexpected end of JSON input");
	refused(" \n", BODY_STREAM, "EOF");
	refused("{", BODY_WHOLE, "unexpected end of JSON input");
	refused("{", BODY_STREAM, "unexpected EOF");
	refused("{\"string\":\"abc", BODY_STREAM, "unexpected EOF");
	refused("{} trailing", BODY_WHOLE, "invalid character 't' after top-level value");
	refused("bogus", BODY_WHOLE, "invalid character 'b' looking for beginning of value");
}

static void test_stream_ignores_the_rest(void **state)
{
	struct error error = {0};
	struct fields fields;
	json_t *document;

	assert_int_equal(decode("{\"integer\":5} trailing", BODY_STREAM, &fields, &document, &error), 0);
	assert_int_equal(fields.integer, 5);
	json_decref(document);
}

/* What costs the same as very many requests is not parsed; what looks like values within a string is none. */
static void test_too_many_values(void **state)
{
	static const char *const pieces[] = {"0,", "[],", "{},", "{\"a\":0},", "\"\\\"\",", "["};
	static const char *const words = "Request body has too many values: 4096 are as many as are read";
	struct error error = {0};
	struct fields fields;
	json_t *document;

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t length = strlen(pieces[i]);
		char *text = malloc(5000 * length + 16), *end = stpcpy(text, "[");

		for (int j = 0; j < 5000; j++)
			end = stpcpy(end, pieces[i]);
		strcpy(end, "0]");
		assert_int_equal(decode(text, BODY_STREAM, &fields, &document, &error), -EINVAL);
		assert_string_equal(error_text(&error), words);
		text[1 + 1000 * length] = '\0';
		assert_int_equal(decode(text, BODY_STREAM, &fields, &document, &error), -EINVAL);
		assert_string_not_equal(error_text(&error), words);
		free(text);
	}
	{
		char *text = malloc(16384), *end = stpcpy(text, "{\"string\":\"");

		memset(end, ',', 10000);
		strcpy(end + 10000, "\\\",,[\"}");
		assert_int_equal(decode(text, BODY_WHOLE, &fields, &document, &error), 0);
		assert_int_equal(strlen(fields.string), 10004);
		json_decref(document);
		free(text);
	}
}

/* The least of five times, in nanoseconds, that a body with so many spellings of a name behind a megabyte takes. */
static uint64_t time_spellings(unsigned int count)
{
	char *text = malloc(2 << 20), *end = stpcpy(text, "{\"x\":\"");
	uint64_t least = UINT64_MAX, start;
	struct error error = {0};
	struct fields fields;
	json_t *document;

	memset(end, 'x', 1 << 20);
	end = stpcpy(end + (1 << 20), "\"");
	for (unsigned int i = 0; i < count; i++) {
		char name[] = "integer";

		for (unsigned int j = 0; j < strlen(name); j++)
			name[j] = (char)(i & 1U << j ? name[j] - 'a' + 'A' : name[j]);
		end += sprintf(end, ",\"%s\":%u", name, i);
	}
	strcpy(end, "}");
	for (int i = 0; i < 5; i++) {
		start = uv_hrtime();
		assert_int_equal(decode(text, BODY_WHOLE, &fields, &document, &error), 0);
		assert_int_equal(fields.integer, count - 1);
		json_decref(document);
		if (uv_hrtime() - start < least)
			least = uv_hrtime() - start;
	}
	free(text);
	return least;
}

/* The body is not gone through once for each spelling of a name; and each has its own number. */
static void test_many_spellings(void **state)
{
	uint64_t one = time_spellings(1);

	assert_in_range(time_spellings(128), 1, 3 * one);
	refused("{\"integer\":1,\"Integer\":2.5}", BODY_WHOLE,
		"json: cannot unmarshal number 2.5 into Go struct field Thing.integer of type int");
}

static void test_types(void **state)
{
#define FIELD(value, name, type) "json: cannot unmarshal " value " into Go struct field Thing." name " of type " type
	refused("[]", BODY_WHOLE, "json: cannot unmarshal array into Go value of type api.Thing");
	refused("\"x\"", BODY_WHOLE, "json: cannot unmarshal string into Go value of type api.Thing");
	refused("{\"integer\":\"80\"}", BODY_WHOLE, FIELD("string", "integer", "int"));
	refused("{\"integer\":80.5}", BODY_WHOLE, FIELD("number 80.5", "integer", "int"));
	refused("{\"integer\" : 1e3}", BODY_WHOLE, FIELD("number 1e3", "integer", "int"));
	refused("{\"integer\":99999999999999999999}", BODY_WHOLE,
		FIELD("number 99999999999999999999", "integer", "int"));
	refused("{\"integer\":true}", BODY_WHOLE, FIELD("bool", "integer", "int"));
	refused("{\"string\":5}", BODY_WHOLE, FIELD("number", "string", "string"));
	refused("{\"boolean\":\"yes\"}", BODY_WHOLE, FIELD("string", "boolean", "bool"));
	refused("{\"strings\":{}}", BODY_WHOLE, FIELD("object", "strings", "[]string"));
	refused("{\"strings\":[1]}", BODY_WHOLE, FIELD("number", "strings", "string"));
	refused("{\"map\":{\"a\":5}}", BODY_WHOLE, FIELD("number", "map", "string"));
	refused("{\"map\":[]}", BODY_WHOLE, FIELD("array", "map", "map[string]string"));
	refused("{\"maps\":[]}", BODY_WHOLE, FIELD("array", "maps", "map[string]map[string]string"));
	refused("{\"maps\":{\"a\":\"b\"}}", BODY_WHOLE, FIELD("string", "maps", "map[string]string"));
	refused("{\"maps\":{\"a\":{\"b\":1}}}", BODY_WHOLE, FIELD("number", "maps", "string"));
	refused("{\"object\":3}", BODY_WHOLE, FIELD("number", "object", "struct"));
#undef FIELD
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),         cmocka_unit_test(test_absent),
		cmocka_unit_test(test_syntax),         cmocka_unit_test(test_stream_ignores_the_rest),
		cmocka_unit_test(test_types),          cmocka_unit_test(test_too_many_values),
		cmocka_unit_test(test_many_spellings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
