// SPDX-License-Identifier: Apache-2.0
/*
 * The server's config from a request's JSON. The first byte says how: whether it is merged, and whether what it sets
 * takes effect. A change that fails has changed nothing; one that does not is what holds, and what is stored.
 */
#include "instances/settings.h"
#include "instances/store.h"
#include "tests/fuzz/fuzz.h"
#include "util/limits.h"

#include <string.h>

enum {
	MERGE = 1,
	REFUSE = 2,
};

static int apply(const char *key, const char *value, void *user, struct error *error)
{
	const uint8_t *how = user;

	require(*value == '/' || limits_check(key, value, NULL) == 0);
	return *how & REFUSE ? error_set(error, -1, "no") : 0;
}

static struct settings *open_settings(void)
{
	struct settings *settings = calloc(1, sizeof(*settings));
	struct store *store = NULL;
	char path[64];

	snprintf(path, sizeof(path), "%s/consoled.db", fuzz_directory());
	require(settings && store_open(&store, path, NULL) == 0);
	require(settings_init(settings, store, "/dev/null", NULL) == 0);
	return settings;
}

static void check_stored(const struct settings *settings)
{
	json_auto_t *stored = NULL;

	require(store_load_config(settings->store, &stored, NULL) == 0);
	require(json_equal(stored, settings->values));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct settings *settings;
	struct error error = {0};
	json_auto_t *changes = size > 0 ? json_loadb((const char *)data + 1, size - 1, 0, NULL) : NULL;
	json_auto_t *before = NULL;
	uint8_t how;
	int r;

	if (!settings)
		settings = open_settings();
	if (!json_is_object(changes))
		return 0;
	how = data[0];
	before = json_incref(settings->values);
	r = settings_change(settings, changes, how & MERGE, apply, &how, &error);
	require((r < 0) == (error.text[0] != '\0'));
	require(r == 0 || json_equal(before, settings->values));
	check_stored(settings);
	return 0;
}
