// SPDX-License-Identifier: Apache-2.0
#include "instances/idmap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 256

/* A number without sign or blanks, up to `end`, that fits an id. */
static bool parse_id(const char *text, char end, uint32_t *id, const char **after)
{
	char *stop;
	unsigned long long number;

	if (*text < '0' || *text > '9')
		return false;
	number = strtoull(text, &stop, 10); /* what does not fit becomes the largest of all */
	if (*stop != end || number > UINT32_MAX)
		return false;
	*id = (uint32_t)number;
	*after = stop + 1;
	return true;
}

static bool parse_line(const char *line, uint32_t *first)
{
	static const char *const names[] = {"root:", "0:"};
	uint32_t count;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *at = line + strlen(names[i]);

		if (strncmp(line, names[i], strlen(names[i])) == 0 && parse_id(at, ':', first, &at) &&
		    parse_id(at, '\0', &count, &at))
			return *first > 0 && count >= IDMAP_COUNT && *first <= UINT32_MAX - IDMAP_COUNT;
	}
	return false;
}

int idmap_parse(FILE *file, uint32_t *first)
{
	char line[LINE_SIZE];
	bool whole = true; /* the line began where the buffer did */

	while (fgets(line, sizeof(line), file)) {
		size_t length = strcspn(line, "\n");
		bool ended = line[length] == '\n' || feof(file);

		line[length] = '\0';
		if (whole && ended && parse_line(line, first))
			return 0;
		whole = ended;
	}
	return -ENOENT;
}

static int read_first(const char *path, uint32_t *first, struct error *error)
{
	FILE *file = fopen(path, "re");
	int r = -ENOENT;

	if (!file && errno != ENOENT)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (file) {
		r = idmap_parse(file, first);
		fclose(file);
	}
	return r < 0 ? error_set(error, r,
				 "security.privileged: root has no %d ids in %s (add \"root:100000:%d\", or set "
				 "security.privileged=true)",
				 IDMAP_COUNT, path, IDMAP_COUNT)
		     : 0;
}

int idmap_read(struct idmap *idmap, struct error *error)
{
	int r = read_first("/etc/subuid", &idmap->uid, error);

	return r < 0 ? r : read_first("/etc/subgid", &idmap->gid, error);
}
