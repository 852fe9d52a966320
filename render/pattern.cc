// SPDX-License-Identifier: Apache-2.0
extern "C" {
#include "render/pattern.h"
#include "util/error.h"
}

#include <errno.h>
#include <new>
#include <re2/re2.h>
#include <re2/set.h>
#include <string.h>

/* A set's instructions, at most: beyond that it takes milliseconds to compile. */
#define SET_SIZE_MAX 10000
#define SET_MEMORY (4 * 1024 * 1024)

struct pattern {
	re2::RE2 regex;
};

struct pattern_set {
	re2::RE2::Set set;
	int size;
	bool compiled;
	bool useless; /* too large, or its automaton is */
};

static re2::RE2::Options options(int64_t memory)
{
	re2::RE2::Options options;

	options.set_log_errors(false);
	options.set_max_mem(memory);
	return options;
}

static int check(const re2::RE2 &regex, struct error *error)
{
	if (!regex.ok())
		return error_set(error, -EINVAL, "%s", regex.error().c_str());
	if (regex.ProgramSize() > PATTERN_SIZE_MAX)
		return error_set(error, -EINVAL, "pattern too large");
	if (regex.NumberOfCapturingGroups() >= PATTERN_GROUPS_MAX)
		return error_set(error, -EINVAL, "more than %d groups", PATTERN_GROUPS_MAX - 1);
	return 0;
}

int pattern_create(struct pattern **result, const char *text, struct error *error)
{
	pattern *made;
	int r;

	if (strlen(text) > PATTERN_LENGTH_MAX)
		return error_set(error, -EINVAL, "pattern longer than %d bytes", PATTERN_LENGTH_MAX);
	try {
		made = new pattern{{text, options(PATTERN_MEMORY)}};
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
	r = check(made->regex, error);
	if (r < 0)
		delete made;
	else
		*result = made;
	return r;
}

void pattern_destroy(struct pattern *pattern)
{
	delete pattern;
}

static int match(const struct pattern *pattern, const char *line, size_t length, re2::StringPiece *found, int count)
{
	try {
		return pattern->regex.Match({line, length}, 0, length, re2::RE2::UNANCHORED, found, count);
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
}

int pattern_matches(const struct pattern *pattern, const char *line, size_t length)
{
	return match(pattern, line, length, nullptr, 0);
}

int pattern_groups(const struct pattern *pattern, const char *line, size_t length, struct pattern_group *groups)
{
	re2::StringPiece found[PATTERN_GROUPS_MAX];
	int count = pattern->regex.NumberOfCapturingGroups() + 1;
	int r = match(pattern, line, length, found, count);

	if (r <= 0)
		return r;
	for (int i = 0; i < count; i++)
		groups[i] = {found[i].data(), found[i].size()};
	return count;
}

struct pattern_set *pattern_set_create(void)
{
	try {
		return new pattern_set{{options(SET_MEMORY), re2::RE2::UNANCHORED}, 0, false, false};
	} catch (const std::bad_alloc &) {
		return nullptr;
	}
}

void pattern_set_destroy(struct pattern_set *set)
{
	delete set;
}

void pattern_set_add(struct pattern_set *set, const struct pattern *pattern)
{
	set->size += pattern->regex.ProgramSize();
	try {
		set->useless |= set->size > SET_SIZE_MAX || set->set.Add(pattern->regex.pattern(), nullptr) < 0;
	} catch (const std::bad_alloc &) {
		set->useless = true;
	}
}

static bool set_matches(struct pattern_set *set, const char *line, size_t length)
{
	re2::RE2::Set::ErrorInfo info = {};
	bool matches;

	if (!set->compiled)
		set->useless |= !set->set.Compile();
	set->compiled = true;
	if (set->useless)
		return true;
	matches = set->set.Match({line, length}, nullptr, &info);
	set->useless = info.kind == re2::RE2::Set::kOutOfMemory;
	return matches || set->useless;
}

/* One that has failed for want of memory would, more often than not, fail again. */
bool pattern_set_may_match(struct pattern_set *set, const char *line, size_t length)
{
	try {
		return set->useless || set_matches(set, line, length);
	} catch (const std::bad_alloc &) {
		set->useless = true;
		return true;
	}
}
