// SPDX-License-Identifier: Apache-2.0
#include "instances/settings.h"
#include "instances/store.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LXCPATH "lxc.lxcpath"
#define LXCPATH_DEFAULT "/var/lib/lxc"

static int check_directory(const char *value, struct error *error)
{
	if (value[0] != '/' || strlen(value) >= PATH_MAX)
		return error_set(error, -EINVAL, "not an absolute path");
	for (const char *c = value; *c; c++)
		if (iscntrl((unsigned char)*c))
			return error_set(error, -EINVAL, "has a control character");
	return 0;
}

static int check(const struct settings *settings, const char *key, const char *value, struct error *error)
{
	if (!json_object_get(settings->defaults, key))
		return error_set(error, -EINVAL, "unknown key");
	if (!*value)
		return 0;
	return strcmp(key, LXCPATH) == 0 ? check_directory(value, error) : limits_check(key, value, error);
}

/* --- reading --- */

/*
 * The value in a line `lxc.lxcpath = VALUE` of lxc.conf, cut out in place, or NULL. As liblxc reads it: blanks around
 * it and slashes at its end do not count.
 */
static char *lxcpath_of_line(char *line)
{
	char *end;

	line += strspn(line, " \t");
	if (strncmp(line, LXCPATH, strlen(LXCPATH)) != 0)
		return NULL;
	line += strlen(LXCPATH);
	line += strspn(line, " \t");
	if (*line++ != '=')
		return NULL;
	line += strspn(line, " \t");
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	while (end > line + 1 && end[-1] == '/')
		end--;
	*end = '\0';
	return line;
}

/* LXC's own word for where containers are; a file that cannot be read, and a path that is none, say nothing. */
static json_t *default_lxcpath(const char *lxc_conf)
{
	cleanup_free char *line = NULL;
	FILE *file = fopen(lxc_conf, "re");
	json_t *found = NULL;
	size_t size = 0;

	while (file && !found && getline(&line, &size, file) > 0) {
		char *value = lxcpath_of_line(line);

		if (value && check_directory(value, NULL) == 0)
			found = json_string(value);
	}
	if (file)
		fclose(file);
	return found ? found : json_string(LXCPATH_DEFAULT);
}

static json_t *make_defaults(const char *lxc_conf)
{
	json_t *defaults = json_pack("{s:o}", LXCPATH, default_lxcpath(lxc_conf));
	const char *key;
	int r = defaults ? 0 : -1;

	for (unsigned int i = 0; r == 0 && (key = limits_key(i)); i++)
		r = json_object_set_new(defaults, key, json_string(limits_default(key)));
	if (r == 0)
		return defaults;
	json_decref(defaults);
	return NULL;
}

int settings_init(struct settings *settings, struct store *store, const char *lxc_conf, struct error *error)
{
	json_auto_t *stored = NULL;
	const char *key;
	json_t *value;
	int r;

	*settings = (struct settings){.store = store, .values = json_object()};
	settings->defaults = make_defaults(lxc_conf);
	r = settings->values && settings->defaults ? store_load_config(store, &stored, error) : -ENOMEM;
	if (r < 0) {
		settings_finish(settings);
		return r;
	}
	json_object_foreach (stored, key, value) {
		struct error why = {0};

		if (check(settings, key, json_string_value(value), &why) == 0)
			json_object_set(settings->values, key, value);
		else
			log_warn("the server's config %s=%s does not count: %s", key, json_string_value(value),
				 error_text(&why));
	}
	return 0;
}

void settings_finish(struct settings *settings)
{
	json_decref(settings->values);
	json_decref(settings->defaults);
	*settings = (struct settings){0};
}

static const char *effective(const struct settings *settings, const json_t *values, const char *key)
{
	const json_t *value = json_object_get(values, key);

	return json_string_value(value ? value : json_object_get(settings->defaults, key));
}

const char *settings_get(const struct settings *settings, const char *key)
{
	return effective(settings, settings->values, key);
}

/* --- changing --- */

/* Go's word for what is no string. */
static const char *go_type(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "map";
	case JSON_ARRAY:
		return "slice";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	default:
		return "float64";
	}
}

static int cannot_set(struct error *error, int code, const char *key, const char *value, const struct error *why)
{
	return error_set(error, code, "cannot set '%s' to '%s': %s", key, value, error_text(why));
}

/* Takes one change into `values`. */
static int take(const struct settings *settings, json_t *values, const char *key, json_t *change, struct error *error)
{
	const char *value = json_is_null(change) ? "" : json_string_value(change);
	struct error why = {0};
	int r;

	if (!value)
		return error_set(error, -EINVAL, "cannot set '%s': invalid type %s", key, go_type(change));
	r = check(settings, key, value, &why);
	if (r < 0)
		return cannot_set(error, r, key, value, &why);
	if (*value)
		return json_object_set(values, key, change) < 0 ? -ENOMEM : 0;
	json_object_del(values, key);
	return 0;
}

/* Applies what holds with `to` and did not with `from`. The first key that is refused ends it. */
static int apply_all(const struct settings *settings, const json_t *from, const json_t *to, settings_apply apply,
		     void *user, struct error *error)
{
	const char *key;
	json_t *otherwise;

	json_object_foreach (settings->defaults, key, otherwise) {
		const char *value = effective(settings, to, key);
		struct error why = {0};
		int r;

		if (strcmp(effective(settings, from, key), value) == 0)
			continue;
		why.code = r = apply(key, value, user, &why);
		if (r < 0)
			return cannot_set(error, r, key, value, &why);
	}
	return 0;
}

/* Of a change from `from` to `to`. */
static void undo_all(const struct settings *settings, const json_t *from, const json_t *to, settings_apply apply,
		     void *user)
{
	const char *key;
	json_t *otherwise;

	json_object_foreach (settings->defaults, key, otherwise) {
		const char *value = effective(settings, from, key);
		struct error why = {0};

		if (strcmp(effective(settings, to, key), value) != 0 && apply(key, value, user, &why) < 0)
			log_error("cannot set '%s' back to '%s': %s", key, value, error_text(&why));
	}
}

int settings_change(struct settings *settings, const json_t *changes, bool merge, settings_apply apply, void *user,
		    struct error *error)
{
	json_auto_t *values = merge ? json_duplicate(settings->values) : json_object();
	const char *key;
	json_t *change;
	int r = values ? 0 : -ENOMEM;

	json_object_foreach ((json_t *)changes, key, change) {
		if (r == 0)
			r = take(settings, values, key, change, error);
	}
	if (r < 0)
		return r;
	r = apply_all(settings, settings->values, values, apply, user, error);
	if (r == 0)
		r = store_save_config(settings->store, values, error);
	if (r < 0) {
		undo_all(settings, settings->values, values, apply, user);
		return r;
	}
	json_decref(settings->values);
	settings->values = json_incref(values);
	return 0;
}
