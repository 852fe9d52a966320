// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_qemu.h"
#include "instances/devices.h"
#include "instances/driver.h"
#include "instances/limit.h"
#include "instances/value.h"
#include "pty/targets/qemu.h"
#include "spice/channel.h"
#include "util/cleanup.h"
#include "util/size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define UNPRIVILEGED "nobody"

static bool qemu_serves(const struct store_row *row)
{
	return row->type == INSTANCE_VIRTUAL_MACHINE;
}

/* --- what can be set --- */

static int check_disk(const json_t *device, struct error *error)
{
	const char *source = value_get(device, "source", NULL), *size = value_get(device, "size", NULL);
	uint64_t bytes;

	if (!device_is_root(device) && value_get(device, "path", NULL))
		return error_set(error, -EINVAL, "path: only for the root disk (path=/): the guest mounts the others");
	if (!device_is_root(device) && !source)
		return error_set(error, -EINVAL, "source: the file or block device of this disk is missing");
	if (!device_is_root(device) && size)
		return error_set(error, -EINVAL, "size: only for the root disk (path=/)");
	if (size && source)
		return error_set(error, -EINVAL, "size: only without source, which is as large as it is");
	if (size && (size_parse(size, &bytes) < 0 || bytes == 0))
		return error_set(error, -EINVAL, "size: a size such as 10GiB, not \"%s\"", size);
	return 0;
}

static int check_devices(const struct store_row *row, struct error *error)
{
	struct error why = {0};
	const char *name;
	json_t *device;

	json_object_foreach (row->devices, name, device) {
		const char *type = value_get(device, "type", "");
		int r = 0;

		if (strcmp(type, "nic") == 0)
			r = error_set(&why, -EINVAL,
				      "type: nic: only for containers: raw.qemu=\"-nic user\" gives a virtual machine "
				      "a network");
		else if (strcmp(type, "disk") == 0)
			r = check_disk(device, &why);
		if (r < 0)
			return error_set(error, r, "Device validation failed for \"%s\": %s", name, error_text(&why));
	}
	return 0;
}

static int qemu_check(const struct store_row *row, struct error *error)
{
	const char *cpus = value_get(row->config, "limits.cpu", "1");
	const char *memory = value_get(row->config, "limits.memory", NULL);
	unsigned int number;
	uint64_t bytes;
	cpu_set_t set;

	if (memory && limit_parse_memory(memory, UINT64_MAX, &bytes) == 0 && bytes < DRIVER_QEMU_MEMORY_MIN)
		return error_set(error, -EINVAL, "limits.memory: 1MiB at least for virtual machines, not \"%s\"",
				 memory);
	if (limit_parse_cpus(cpus, &number, &set) < 0 || number == 0)
		return error_set(error, -EINVAL, "limits.cpu: a number for virtual machines, not \"%s\"", cpus);
	return check_devices(row, error);
}

/* --- what there is --- */

static const char *search_path(void)
{
	const char *path = getenv("PATH");

	return path && *path ? path : DEFAULT_PATH;
}

/* Looks for QEMU as execvp(3) would. */
static bool find_qemu(char found[PATH_MAX])
{
	for (const char *at = search_path(), *end; *at; at = end + (*end == ':')) {
		end = strchrnul(at, ':');
		if (*at == '/' && snprintf(found, PATH_MAX, "%.*s/%s", (int)(end - at), at, DRIVER_QEMU) < PATH_MAX &&
		    access(found, X_OK) == 0)
			return true;
	}
	return false;
}

static int find_below(int directory, const char *pattern);

// NOLINTNEXTLINE(misc-no-recursion): once for each part of the pattern
static int find_in(DIR *listing, const char *name, const char *rest)
{
	const struct dirent *entry;
	int r = -ENOENT;

	while (r == -ENOENT && (errno = 0, entry = readdir(listing))) {
		cleanup_close int found = -1;

		if (fnmatch(name, entry->d_name, FNM_PERIOD) != 0)
			continue;
		found = openat(dirfd(listing), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (found >= 0)
			r = find_below(found, rest);
		else if (errno != ENOTDIR && errno != ENOENT && errno != EACCES)
			r = -errno;
	}
	return r;
}

/*
 * 0: there is a file of this pattern below; -ENOENT; others. As glob(3), which frees twice what it has (glibc 2.36)
 * when there is no memory for more.
 */
// NOLINTNEXTLINE(misc-no-recursion)
static int find_below(int directory, const char *pattern)
{
	const char *rest = strchr(pattern, '/');
	char name[NAME_MAX + 1];
	DIR *listing;
	int fd, r;

	if (!rest)
		return faccessat(directory, pattern, F_OK, 0) == 0 ? 0 : -errno;
	snprintf(name, sizeof(name), "%.*s", (int)(rest - pattern), pattern);
	fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	listing = fdopendir(fd);
	if (!listing) {
		r = -errno;
		close(fd);
		return r;
	}
	r = find_in(listing, name, rest + 1);
	closedir(listing);
	return r;
}

/* SPICE is a module of its own, wherever the distribution has put QEMU's. */
static int find_spice(bool *found)
{
	static const char *const places[] = {
		"usr/lib*/qemu*/ui-spice-core.so",
		"usr/lib/*/qemu/ui-spice-core.so",
		"usr/local/lib*/qemu/ui-spice-core.so",
		"usr/local/lib/*/qemu/ui-spice-core.so",
	};
	cleanup_close int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? -errno : -ENOENT;

	for (size_t i = 0; r == -ENOENT && i < sizeof(places) / sizeof(places[0]); i++)
		r = find_below(root, places[i]);
	*found = r == 0;
	return r == -ENOENT ? 0 : r;
}

/* Only root can, and only where there is one. Who cannot look must not conclude that QEMU is to be root. */
static int find_unprivileged(const char **user)
{
	if (geteuid() != 0)
		return 0;
	errno = 0;
	if (getpwnam(UNPRIVILEGED))
		*user = UNPRIVILEGED;
	else if (errno == ENOMEM || errno == EMFILE || errno == ENFILE || errno == EIO)
		return -errno;
	return 0;
}

static int read_host(struct driver_qemu_host *host, char qemu[PATH_MAX], struct error *error)
{
	struct utsname machine;
	struct sysinfo info;
	int r;

	if (uname(&machine) == 0 && strcmp(machine.machine, "x86_64") != 0)
		return error_set(error, -ENOTSUP, "Virtual machines need a machine of x86_64, not %s", machine.machine);
	if (find_qemu(qemu))
		host->qemu = qemu;
	else if (!host->running)
		return error_set(error, -ENOENT, "Virtual machines need " DRIVER_QEMU ", which is not installed");
	if (sysinfo(&info) == 0)
		host->memory_total = (uint64_t)info.totalram * info.mem_unit;
	r = find_spice(&host->spice);
	if (r < 0)
		return error_set(error, r, "QEMU's modules: %s", strerror(-r));
	r = find_unprivileged(&host->user);
	return r < 0 ? error_set(error, r, "The user " UNPRIVILEGED ": %s", strerror(-r)) : 0;
}

/* --- what to start --- */

/* Makes the root disk if it is ours to make. */
static int make_root(const struct store_row *row, const char *directory, struct error *error)
{
	const char *name = "";
	const char *size = value_get(devices_root(row->devices, &name), "size", NULL);
	cleanup_free char *path = NULL;
	struct error why = {0};
	uint64_t bytes;
	int r;

	if (!size)
		return 0;
	path = driver_qemu_image(row, directory);
	if (!path)
		return error_set(error, -ENOMEM, "out of memory");
	r = size_parse(size, &bytes);
	if (r == 0)
		r = disk_make(path, bytes, &why);
	return r < 0 ? error_set(error, r, "Failed to start device \"%s\": size: %s", name, error_text(&why)) : 0;
}

static int pack(const struct store_row *row, const struct driver_context *context, struct items *arguments,
		struct console_target *target, struct error *error)
{
	char environment_path[PATH_MAX], log[PATH_MAX];
	char several[] = SPICE_MANY_VIEWERS;
	bool many = strcmp(value_get(row->config, "consoled.viewers", "one"), "many") == 0;

	snprintf(environment_path, sizeof(environment_path), "PATH=%s", search_path());
	snprintf(log, sizeof(log), "%s/consoles/%s/qemu.log", context->directory, row->name);
	return pack_machine(
		&(struct console_machine){
			.argv = arguments->list,
			.environment = (char *[]){environment_path, many ? several : NULL, NULL},
			.log = log,
			.running = context->running,
		},
		target, error);
}

static int qemu_prepare(const struct store_row *row, const struct driver_context *context,
			struct console_target *target, struct error *error)
{
	__attribute__((cleanup(items_finish))) struct items arguments = {0};
	struct driver_qemu_host host = {
		.qemu = DRIVER_QEMU, .directory = context->directory, .running = context->running};
	char qemu[PATH_MAX];
	int r = read_host(&host, qemu, error);

	if (r == 0 && !context->running)
		r = make_root(row, context->directory, error);
	if (r == 0)
		r = driver_qemu_arguments(row, &host, &arguments, error);
	return r == 0 ? pack(row, context, &arguments, target, error) : r;
}

static bool qemu_runs(const struct store_row *row, const char *directory)
{
	cleanup_close int place = -1, pidfd = -1;
	char path[PATH_MAX];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/run/%s", directory, row->name);
	place = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	pidfd = place < 0 ? -1 : qemu_find(place, &pid);
	return pidfd >= 0;
}

const struct driver driver_qemu = {
	.name = "qemu",
	.serves = qemu_serves,
	.check = qemu_check,
	.prepare = qemu_prepare,
	.runs = qemu_runs,
};
