// SPDX-License-Identifier: Apache-2.0
#include "instances/raw_lxc.h"
#include "util/cleanup.h"

#include <errno.h>
#include <string.h>

#define BLANKS " \t"

/* Keys that are ours; each stands for those below it as well. */
static const struct {
	const char *key, *why;
} refused[] = {
	{"lxc.console", "the console is kept by consoled"},
	{"lxc.cgroup.dir", "consoled finds the container's cgroups by liblxc's own names"},
	{"lxc.cgroup.relative", "consoled finds the container's cgroups by liblxc's own names"},
	{"lxc.ephemeral", "make an ephemeral instance instead (lxc init --ephemeral)"},
	{"lxc.execute.cmd", "of no effect here: lxc.init.cmd names what is run"},
	{"lxc.log.file", "liblxc's log is kept by consoled (lxc info --show-log)"},
	{"lxc.log.syslog", "liblxc's log is kept by consoled (lxc info --show-log)"},
	{"lxc.logfile", "liblxc's log is kept by consoled (lxc info --show-log)"},
	{"lxc.syslog", "liblxc's log is kept by consoled (lxc info --show-log)"},
	{"lxc.monitor", "liblxc's monitor is looked after by consoled"},
	{"lxc.rootfs.path", "the disk device with path=/ says where the root file system is"},
};

static const char *why_refused(const char *key)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		size_t length = strlen(refused[i].key);

		if (strncmp(key, refused[i].key, length) == 0 && (key[length] == '\0' || key[length] == '.'))
			return refused[i].why;
	}
	return NULL;
}

/* Cuts blanks from both ends, in place. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strlen(text);
	while (length > 0 && strchr(BLANKS, text[length - 1]))
		text[--length] = '\0';
	return text;
}

static char *unquote(char *value)
{
	size_t length = strlen(value);

	if (length < 2 || (*value != '\'' && *value != '"') || value[length - 1] != *value)
		return value;
	value[length - 1] = '\0';
	return value + 1;
}

static int parse_line(char *line, unsigned int number, struct items *items, struct error *error)
{
	char *key = trim(line), *equals;
	const char *why;

	if (*key == '\0' || *key == '#')
		return 0;
	equals = strchr(key, '=');
	if (!equals)
		return error_set(error, -EINVAL, "raw.lxc line %u: no '=' in \"%s\"", number, key);
	*equals = '\0';
	key = trim(key);
	if (strncmp(key, "lxc.", strlen("lxc.")) != 0) /* liblxc would pass over it in silence */
		return error_set(error, -EINVAL, "raw.lxc line %u: %s: not a key of LXC", number, key);
	why = why_refused(key);
	if (why)
		return error_set(error, -EINVAL, "raw.lxc line %u: %s: %s", number, key, why);
	items_add(items, "%s=%s", key, unquote(trim(equals + 1)));
	return 0;
}

int raw_lxc_parse(const char *text, struct items *items, struct error *error)
{
	cleanup_free char *copy = strdup(text);
	unsigned int number = 0;
	char *rest = copy, *line;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (line = strsep(&rest, "\n")))
		r = parse_line(line, ++number, items, error);
	return r == 0 && items->failed ? -ENOMEM : r;
}
