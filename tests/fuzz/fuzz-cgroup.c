// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel tells of a container's processes, with names of the guest's choice in it: /proc/PID/cgroup, up to a
 * line of its own that is empty, and behind that a file of the group, whichever is looked for. Nothing is counted that
 * is not there.
 */
#include "instances/cgroup.h"
#include "instances/usage.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
	int root, listing, counter;
};

static const char *const directories[] = {"memory", "cpuacct", "pids", "freezer", "unified", "."};
static const char *const files[] = {
	"memory.current", "memory.peak", "memory.swap.current", "memory.usage_in_bytes", "memory.memsw.usage_in_bytes",
	"cpuacct.usage",  "cpu.stat",    "pids.current",        "freezer.state",         "cgroup.events",
};

/* Makes a group in which all files are the same one. */
static void make_group(int root, const char *directory)
{
	char path[128];

	mkdirat(root, directory, 0700);
	snprintf(path, sizeof(path), "%s/lxc.payload.c1", directory);
	require(mkdirat(root, path, 0700) == 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/lxc.payload.c1/%s", directory, files[i]);
		require(linkat(root, "counter", root, path, 0) == 0);
	}
}

static struct tree *make_tree(void)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	require(tree);
	tree->root = open(fuzz_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	tree->listing = openat(tree->root, "cgroup", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	tree->counter = openat(tree->root, "counter", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	require(tree->root >= 0 && tree->listing >= 0 && tree->counter >= 0);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		make_group(tree->root, directories[i]);
	return tree;
}

static void put(int fd, const void *data, size_t size)
{
	require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tree *tree;
	const uint8_t *end = memmem(data, size, "\n\n", 2);
	size_t length = end ? (size_t)(end - data) + 1 : size;
	struct usage usage;
	int frozen;

	if (!tree)
		tree = make_tree();
	put(tree->listing, data, length);
	put(tree->counter, data + length, size - length);
	cgroup_usage(tree->root, tree->root, &usage);
	require(usage.memory >= -1 && usage.cpu >= -1 && usage.processes >= -1);
	require(usage.memory_peak >= 0 && usage.swap >= 0 && usage.swap_peak >= 0);
	frozen = cgroup_frozen(tree->root, tree->root);
	require(frozen >= -1 && frozen <= 1);
	return 0;
}
