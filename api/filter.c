// SPDX-License-Identifier: Apache-2.0
#include "api/filter.h"
#include "util/cleanup.h"
#include "util/json.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CLAUSES_MAX 64
#define BLANKS " \t\n\v\f\r"

/*
 * Bounds on what a pattern can cost: matching is linear, its automaton grows with the text it has seen. The last is for
 * all of a filter's together, in bytes of pattern times bytes of text: at worst some 300 ms and 100 MB.
 */
#define PATTERN_MAX 256
#define PATTERN_TEXT_MAX 1024
#define WORK_MAX (8 * 1024 * 1024)

struct clause {
	bool is_or, negated, unequal;
	const char *field, *value; /* in filter::text */
	bool has_pattern;
	regex_t pattern;
};

struct filter {
	size_t count, work;
	struct clause clauses[CLAUSES_MAX];
	char text[]; /* the expression, cut into words */
};

static bool at_end(char **rest)
{
	*rest += strspn(*rest, BLANKS);
	return **rest == '\0';
}

/* Ends the word that begins at `*rest` after `length` bytes, and steps over what ended it. */
static char *cut(char **rest, size_t length)
{
	char *word = *rest;

	*rest += length;
	if (**rest)
		*(*rest)++ = '\0';
	return word;
}

/* The next word, or NULL. */
static char *take_word(char **rest)
{
	return at_end(rest) ? NULL : cut(rest, strcspn(*rest, BLANKS));
}

/* A word, or "several words": LXD ends those at a quote that ends a word. NULL: the quote does not end. */
static char *take_value(char **rest)
{
	const char *quote = *rest;

	if (*quote != '"')
		return take_word(rest);
	do {
		quote = strchr(quote + 1, '"');
		if (!quote)
			return NULL;
	} while (quote[1] && !strchr(BLANKS, quote[1]));
	++*rest;
	return cut(rest, quote - *rest);
}

/*
 * Whether regcomp() is to see this value. LXD's regexp is RE2, in time linear in everything. glibc's takes exponential
 * time or memory to compile counts, repeated groups and repeated repetitions; so here a repetition repeats one
 * character, which is what clients use. Nor may it see what it understands and RE2 does not, as back references.
 */
static bool may_be_pattern(const char *value)
{
	if (strlen(value) > PATTERN_MAX)
		return false;
	for (const char *at = value; (at = strpbrk(at, "{*+?\\")); at++) {
		if (*at == '\\') {
			if (!ispunct((unsigned char)*++at) || strchr("<>`'", *at))
				return false;
		} else if (*at == '{' || at == value || strchr("()|^$*+?", at[-1])) {
			return false;
		}
	}
	return true;
}

/* Compiles the value. Always anchored at the start: from there a match takes one pass over the text. */
static void compile(struct clause *clause)
{
	bool whole = !strpbrk(clause->value, "^$");
	char pattern[PATTERN_MAX + sizeof("^.*()$")];

	if (!may_be_pattern(clause->value))
		return;
	snprintf(pattern, sizeof(pattern), "^%s(%s)%s", whole ? "" : ".*", clause->value, whole ? "$" : "");
	clause->has_pattern = regcomp(&clause->pattern, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0;
}

static int parse_clause(struct clause *clause, char **rest, struct error *error)
{
	const char *comparison;

	clause->field = cut(rest, strcspn(*rest, BLANKS)); /* there is one: the caller has looked */
	if (strcasecmp(clause->field, "not") == 0) {
		clause->negated = true;
		clause->field = take_word(rest);
		if (!clause->field)
			return error_set(error, -EINVAL, "Invalid filter: incomplete not clause");
	}
	comparison = take_word(rest);
	if (!comparison)
		return error_set(error, -EINVAL, "Invalid filter: clause has no operator");
	if (at_end(rest))
		return error_set(error, -EINVAL, "Invalid filter: clause has no value");
	clause->value = take_value(rest);
	if (!clause->value)
		return error_set(error, -EINVAL, "Invalid filter: unterminated quote");
	clause->unequal = strcasecmp(comparison, "ne") == 0;
	if (!clause->unequal && strcasecmp(comparison, "eq") != 0)
		return error_set(error, -EINVAL, "Invalid filter: unknown operator \"%s\"", comparison);
	compile(clause);
	return 0;
}

/* What joins a clause to the next: 1 if there is a next one, 0 at the end. */
static int parse_join(bool *is_or, char **rest, struct error *error)
{
	const char *join = take_word(rest);

	if (!join)
		return 0;
	*is_or = strcasecmp(join, "or") == 0;
	if (!*is_or && strcasecmp(join, "and") != 0)
		return error_set(error, -EINVAL, "Invalid filter: invalid clause composition");
	if (at_end(rest))
		return error_set(error, -EINVAL, "Invalid filter: unterminated compound clause");
	return 1;
}

static int parse(struct filter *filter, struct error *error)
{
	char *rest = filter->text;
	bool is_or = false;
	int r = !at_end(&rest);

	while (r > 0) {
		struct clause *clause = &filter->clauses[filter->count];

		if (filter->count == CLAUSES_MAX)
			return error_set(error, -EINVAL, "Invalid filter: more than %d clauses", CLAUSES_MAX);
		filter->count++;
		clause->is_or = is_or;
		r = parse_clause(clause, &rest, error);
		if (r == 0)
			r = parse_join(&is_or, &rest, error);
	}
	return r;
}

int filter_create(struct filter **filter, const char *expression, struct error *error)
{
	size_t size = strlen(expression) + 1;
	struct filter *created = calloc(1, sizeof(*created) + size);
	int r;

	if (!created)
		return error_set(error, -ENOMEM, "out of memory");
	memcpy(created->text, expression, size);
	r = parse(created, error);
	if (r < 0) {
		filter_destroy(created);
		return r;
	}
	*filter = created;
	return 0;
}

void filter_destroy(struct filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < filter->count; i++)
		if (filter->clauses[i].has_pattern)
			regfree(&filter->clauses[i].pattern);
	free(filter);
}

/* Follows a path. The rest of it may be one key with dots in it, as a config's keys are. NULL: nothing is there. */
static const json_t *look_up(const json_t *value, const char *path)
{
	for (;;) {
		const json_t *found = json_object_get(value, path);
		const char *dot = strchr(path, '.');

		if (found || !dot)
			return found;
		value = json_object_getn(value, path, dot - path);
		path = dot + 1;
	}
}

static bool pattern_matches(struct filter *filter, const struct clause *clause, const char *text)
{
	size_t length = strlen(text);

	if (!clause->has_pattern || length > PATTERN_TEXT_MAX || filter->work > WORK_MAX)
		return false;
	filter->work += (strlen(clause->value) + 1) * (length + 1);
	return regexec(&clause->pattern, text, 0, NULL, 0) == 0;
}

static bool clause_matches(struct filter *filter, const struct clause *clause, const json_t *object)
{
	const json_t *value = look_up(object, clause->field);
	cleanup_free char *dumped = NULL;
	const char *text = "";
	bool equal;

	if (json_is_string(value)) {
		text = json_string_value(value);
	} else if (value && !json_is_null(value)) {
		dumped = json_text(value, JSON_ENCODE_ANY | JSON_COMPACT);
		text = dumped ? dumped : "";
	}
	equal = strcasecmp(text, clause->value) == 0;
	if (!equal && !dumped)
		equal = pattern_matches(filter, clause, text);
	return (equal != clause->unequal) != clause->negated;
}

int filter_matches(struct filter *filter, const json_t *object)
{
	bool match = true;

	for (size_t i = 0; i < filter->count; i++) {
		const struct clause *clause = &filter->clauses[i];

		/* From left to right, each joined to all before it: what is decided already is not evaluated. */
		if (match == clause->is_or)
			continue;
		match = clause_matches(filter, clause, object);
	}
	return filter->work > WORK_MAX ? -E2BIG : match;
}
