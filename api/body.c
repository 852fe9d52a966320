// SPDX-License-Identifier: Apache-2.0
#include "api/body.h"
#include "util/json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *go_kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	default:
		return "number";
	}
}

static const char *go_type(enum body_type type)
{
	switch (type) {
	case BODY_BOOLEAN:
		return "bool";
	case BODY_STRINGS:
		return "[]string";
	case BODY_MAP:
		return "map[string]string";
	case BODY_MAPS:
		return "map[string]map[string]string";
	case BODY_OBJECT:
		return "struct";
	default:
		return "string";
	}
}

/*
 * The number as the client wrote it, which Go quotes in its error and the parsed document no longer has: what follows
 * the next `"name" :` in the body, from `*from` on. Only ever used for words. A name may come in a thousand spellings,
 * in their order: each search goes on where the last one has ended.
 */
static void literal_of(const struct request *request, const char **from, const char *name, char literal[static 32])
{
	const char *text = *from, *end = (const char *)request->body + request->body_length;
	size_t length = strlen(name), used = 0;

	literal[0] = '\0';
	for (; text + length + 2 < end; text++)
		if (text[0] == '"' && strncasecmp(text + 1, name, length) == 0 && text[length + 1] == '"')
			break;
	for (text += length + 2; text < end && (isspace((unsigned char)*text) || *text == ':'); text++)
		;
	*from = text < end ? text : end;
	while (text < end && used < 31 && (isalnum((unsigned char)*text) || strchr("+-.", *text)))
		literal[used++] = *text++;
	literal[used] = '\0';
}

static int mismatch(const json_t *value, const char *quoted, const char *type, const char *field, const char *wanted,
		    struct error *error)
{
	return error_set(error, -EINVAL, "json: cannot unmarshal %s%s%s into Go struct field %s.%s of type %s",
			 go_kind(value), *quoted ? " " : "", quoted, type, field, wanted);
}

/* Whether every value of the object, or array, is a string; the first that is not goes to `odd`. */
static bool all_strings(const json_t *value, const json_t **odd)
{
	const char *key;
	json_t *item;
	size_t i;

	json_array_foreach (value, i, item)
		if (!json_is_string(item)) {
			*odd = item;
			return false;
		}
	json_object_foreach ((json_t *)value, key, item) {
		if (!json_is_string(item)) {
			*odd = item;
			return false;
		}
	}
	return true;
}

static int take_integer(const json_t *value, const struct request *request, const char **from, const char *type,
			const struct body_field *field, struct error *error)
{
	double number = json_number_value(value);
	char literal[32] = "";

	if (json_is_number(value)) {
		literal_of(request, from, field->name, literal);
		if (!strpbrk(literal, ".eE") && fabs(number) < 9.2e18) {
			*(int64_t *)field->target = (int64_t)number;
			return 0;
		}
	}
	return mismatch(value, literal, type, field->name, "int", error);
}

static int take_maps(json_t *value, const char *type, const struct body_field *field, struct error *error)
{
	const json_t *odd;
	const char *key;
	json_t *item;

	json_object_foreach (value, key, item) {
		if (!json_is_object(item))
			return mismatch(item, "", type, field->name, "map[string]string", error);
		if (!all_strings(item, &odd))
			return mismatch(odd, "", type, field->name, "string", error);
	}
	*(json_t **)field->target = value;
	return 0;
}

static int take(json_t *value, const struct request *request, const char **from, const char *type,
		const struct body_field *field, struct error *error)
{
	const json_t *odd;

	if (json_is_null(value))
		return 0;
	if (field->type == BODY_INTEGER)
		return take_integer(value, request, from, type, field, error);
	if (field->type == BODY_STRING && json_is_string(value)) {
		*(const char **)field->target = json_string_value(value);
		return 0;
	}
	if (field->type == BODY_BOOLEAN && json_is_boolean(value)) {
		*(bool *)field->target = json_is_true(value);
		return 0;
	}
	if (field->type == BODY_MAPS && json_is_object(value))
		return take_maps(value, type, field, error);
	if ((field->type == BODY_STRINGS && json_is_array(value)) ||
	    (field->type == BODY_MAP && json_is_object(value))) {
		if (!all_strings(value, &odd))
			return mismatch(odd, "", type, field->name, "string", error);
		*(json_t **)field->target = value;
		return 0;
	}
	if (field->type == BODY_OBJECT && json_is_object(value)) {
		*(json_t **)field->target = value;
		return 0;
	}
	return mismatch(value, "", type, field->name, go_type(field->type), error);
}

int body_decode_object(json_t *object, const struct request *request, const char *type, const struct body_field *fields,
		       struct error *error)
{
	const char *key, *from = request->body;
	json_t *value;
	int r;

	json_object_foreach (object, key, value) {
		for (const struct body_field *field = fields; field->name; field++) {
			if (strcasecmp(field->name, key) != 0)
				continue;
			r = take(value, request, &from, type, field, error);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Says in Go's words why a text is not JSON. */
static int syntax_error(const struct request *request, enum body_mode mode, const json_error_t *problem,
			struct error *error)
{
	const char *text = request->body;
	size_t at = problem->position > 0 ? (size_t)problem->position - 1 : 0;

	if (json_error_code(problem) == json_error_premature_end_of_input || at >= request->body_length)
		return error_set(error, -EINVAL,
				 mode == BODY_WHOLE ? "unexpected end of JSON input" : "unexpected EOF");
	if (json_error_code(problem) == json_error_stack_overflow)
		return error_set(error, -EINVAL, "exceeded max depth");
	while (at > 0 && isalnum((unsigned char)text[at - 1])) /* a word is wrong from its first letter */
		at--;
	return error_set(error, -EINVAL, "invalid character '%c' looking for beginning of value",
			 isprint((unsigned char)text[at]) ? text[at] : '?');
}

static bool is_blank(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!strchr(" \t\r\n", text[i]) || !text[i])
			return false;
	return true;
}

/* Go's Unmarshal wants nothing but white space behind the value. */
static int check_rest(const struct request *request, int position, struct error *error)
{
	const char *text = request->body;

	for (size_t i = (size_t)position; i < request->body_length; i++)
		if (!is_blank(text + i, 1))
			return error_set(error, -EINVAL, "invalid character '%c' after top-level value",
					 isprint((unsigned char)text[i]) ? text[i] : '?');
	return 0;
}

/* Each value but the first comes behind one of these, outside of strings. */
static bool has_too_many_values(const struct request *request)
{
	const char *text = request->body, *end = text + request->body_length;
	unsigned int values = 1;
	bool string = false;

	for (; text < end && values <= BODY_VALUES_MAX; text++) {
		if (*text == '"')
			string = !string;
		else if (string && *text == '\\')
			text++;
		else if (!string)
			values += *text == ',' || *text == ':' || *text == '[' || *text == '{';
	}
	return values > BODY_VALUES_MAX;
}

int body_decode(const struct request *request, enum body_mode mode, const char *type, const struct body_field *fields,
		json_t **document, struct error *error)
{
	json_error_t problem = {0};
	int r;

	*document = NULL;
	if (is_blank(request->body, request->body_length))
		return error_set(error, -EINVAL, mode == BODY_WHOLE ? "unexpected end of JSON input" : "EOF");
	if (has_too_many_values(request))
		return error_set(error, -EINVAL, "Request body has too many values: %d are as many as are read",
				 BODY_VALUES_MAX);
	r = json_parse(document, request->body, request->body_length,
		       JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_DECODE_INT_AS_REAL, &problem);
	if (!*document)
		return r == -ENOMEM ? r : syntax_error(request, mode, &problem, error);
	if (mode == BODY_WHOLE)
		r = check_rest(request, problem.position, error);
	if (r == 0 && !json_is_object(*document) && !json_is_null(*document))
		r = error_set(error, -EINVAL, "json: cannot unmarshal %s into Go value of type api.%s",
			      go_kind(*document), type);
	if (r == 0)
		r = body_decode_object(*document, request, type, fields, error);
	if (r < 0) {
		json_decref(*document);
		*document = NULL;
	}
	return r;
}
