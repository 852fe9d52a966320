// SPDX-License-Identifier: Apache-2.0
#include "api/handlers.h"
#include "instances/instance.h"
#include "util/cleanup.h"
#include "util/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BOOTS_NAME "boots"
#define LOG_MAX (1 << 20) /* of a longer one this much of its end is given */

/* What `lxc info --show-log` asks for. */
static const char *log_name(const struct instance *instance)
{
	return instance->row.type == INSTANCE_VIRTUAL_MACHINE ? "qemu.log" : "lxc.log";
}

/* The boots, from the console's ring. That is all there is to tell of a program, so it is its lxc.log as well. */
static int write_boots(const struct instance *instance, char **text, size_t *length)
{
	struct ring_boot boots[64];
	size_t count = ring_boots(console_ring(instance->console), boots, 64);
	char when[TIMESTAMP_LENGTH + 1];
	FILE *out = open_memstream(text, length);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		timestamp_format(boots[i].time, when);
		fprintf(out, "%s boot %u begins at byte %" PRIu64 " of the console\n", when, boots[i].number,
			boots[i].offset);
	}
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

/* Opens the log in DIR/consoles/NAME, and nothing that is not below DIR; without waiting, should it be a FIFO. */
static int open_log(const struct instance *instance)
{
	struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	cleanup_close int directory = open(instance->instances->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[128];
	int fd;

	if (directory < 0)
		return -errno;
	snprintf(path, sizeof(path), "consoles/%s/%s", instance->row.name, log_name(instance));
	fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* What liblxc or QEMU had to say since the latest start, as their keepers have it written; empty before there is one.
 */
static int read_log(const struct instance *instance, char **text, size_t *length)
{
	cleanup_close int fd = open_log(instance);
	struct stat status = {0};
	off_t size;
	ssize_t n;

	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0 && fstat(fd, &status) < 0)
		return -errno;
	size = status.st_size < LOG_MAX ? status.st_size : LOG_MAX;
	*text = malloc((size_t)size + 1);
	if (!*text)
		return -ENOMEM;
	n = fd < 0 ? 0 : pread(fd, *text, (size_t)size, status.st_size - size);
	if (n < 0)
		return -errno;
	*length = (size_t)n;
	return 0;
}

int log_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	const char *name = request->parameters[1];
	const struct driver *driver;
	struct instance *instance;
	char *text = NULL;
	size_t length = 0;
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	if (strcmp(name, log_name(instance)) != 0 && strcmp(name, BOOTS_NAME) != 0)
		return error_set(error, -EINVAL, "log file name %s not valid", name);
	driver = driver_find(&instance->row);
	if (strcmp(name, BOOTS_NAME) != 0 && (driver == &driver_lxc || driver == &driver_qemu))
		r = read_log(instance, &text, &length);
	else
		r = write_boots(instance, &text, &length);
	if (r < 0) {
		free(text);
		return error_set(error, r, "Failed to read the log: %s", strerror(-r));
	}
	r = response_bytes(response, "application/octet-stream", text, length);
	return r < 0 ? r : response_header(response, "Content-Disposition", "inline;filename=%s", name);
}

int logs_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	const char *collection = collection_of(request);
	struct instance *instance;
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	return response_sync(
		response,
		json_pack("[o, o]", json_sprintf("%s/%s/logs/%s", collection, instance->row.name, log_name(instance)),
			  json_sprintf("%s/%s/logs/" BOOTS_NAME, collection, instance->row.name)));
}
