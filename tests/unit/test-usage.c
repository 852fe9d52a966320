// SPDX-License-Identifier: Apache-2.0
#include "instances/cgroup.h"
#include "instances/network.h"
#include "instances/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- control groups, in a directory that looks like CGROUP_ROOT --- */

struct tree {
	char path[32];
	int root;
};

static int setup(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	strcpy(tree->path, "/tmp/test-usage.XXXXXX");
	assert_non_null(mkdtemp(tree->path));
	tree->root = open(tree->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree->root >= 0);
	*state = tree;
	return 0;
}

static int teardown(void **state)
{
	struct tree *tree = *state;
	char command[64];

	close(tree->root);
	snprintf(command, sizeof(command), "rm -r %s", tree->path);
	assert_int_equal(system(command), 0);
	free(tree);
	return 0;
}

/* Writes a file, and makes the directories that lead there. */
static void put(const struct tree *tree, const char *path, const char *text)
{
	char place[256];
	int fd;

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(place, sizeof(place), "%.*s", (int)(slash - path), path);
		assert_true(mkdirat(tree->root, place, 0700) == 0 || errno == EEXIST);
	}
	fd = openat(tree->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The tree is /proc/PID as well, as far as is looked at. */
static struct usage count(const struct tree *tree, const char *listing)
{
	struct usage usage;

	put(tree, "cgroup", listing);
	cgroup_usage(tree->root, tree->root, &usage);
	return usage;
}

static void assert_usage(const struct usage *usage, const int64_t expected[6])
{
	const int64_t found[] = {usage->memory,    usage->memory_peak, usage->swap,
				 usage->swap_peak, usage->cpu,         usage->processes};

	for (int i = 0; i < 6; i++)
		if (found[i] != expected[i])
			fail_msg("value %d is %lld, not %lld", i, (long long)found[i], (long long)expected[i]);
}

static const char version_1[] = "9:name=systemd:/lxc.payload.c1\n8:pids:/lxc.payload.c1\n4:memory:/lxc.payload.c1\n"
				"2:cpu,cpuacct:/lxc.payload.c1\n0::/lxc.payload.c1\n";

static void test_version_1(void **state)
{
	struct tree *tree = *state;
	struct usage usage;

	put(tree, "memory/lxc.payload.c1/memory.usage_in_bytes", "1000\n");
	put(tree, "memory/lxc.payload.c1/memory.max_usage_in_bytes", "3000\n");
	put(tree, "memory/lxc.payload.c1/memory.memsw.usage_in_bytes", "1500\n");
	put(tree, "memory/lxc.payload.c1/memory.memsw.max_usage_in_bytes", "3700\n");
	put(tree, "cpuacct/lxc.payload.c1/cpuacct.usage", "12345678901\n");
	put(tree, "cpuacct/lxc.payload.c1/cpu.stat", "nr_periods 5\n");
	put(tree, "pids/lxc.payload.c1/pids.current", "7\n");
	usage = count(tree, version_1);
	assert_usage(&usage, (const int64_t[]){1000, 3000, 500, 700, 12345678901, 7});

	/* Read at two moments, the sum may be less than its part. */
	put(tree, "memory/lxc.payload.c1/memory.memsw.usage_in_bytes", "999\n");
	usage = count(tree, version_1);
	assert_int_equal(usage.swap, 0);
}

static void test_version_2(void **state)
{
	struct tree *tree = *state;
	struct usage usage;

	put(tree, "a.slice/lxc.payload.c1/memory.current", "1000\n");
	put(tree, "a.slice/lxc.payload.c1/memory.peak", "3000\n");
	put(tree, "a.slice/lxc.payload.c1/memory.swap.current", "500\n");
	put(tree, "a.slice/lxc.payload.c1/memory.swap.peak", "700\n");
	put(tree, "a.slice/lxc.payload.c1/cpu.stat", "usage_usec 12345678\nuser_usec 1\nsystem_usec 2\n");
	put(tree, "a.slice/lxc.payload.c1/pids.current", "7\n");
	usage = count(tree, "0::/a.slice/lxc.payload.c1\n");
	assert_usage(&usage, (const int64_t[]){1000, 3000, 500, 700, 12345678000, 7});

	/* systemd, as init, is in a group inside its container's. A guest may call one as it likes. */
	put(tree, "a.slice/lxc.payload.c1/init.scope/memory.current", "1\n");
	put(tree, "a.slice/lxc.payload.c1/lxc.payload.c2/memory.current", "2\n");
	usage = count(tree, "0::/a.slice/lxc.payload.c1/init.scope\n");
	assert_usage(&usage, (const int64_t[]){1000, 3000, 500, 700, 12345678000, 7});
	usage = count(tree, "0::/a.slice/lxc.payload.c1/lxc.payload.c2\n");
	assert_int_equal(usage.memory, 1000);
}

/* Older kernels count no peaks in version 2, and swap only if told to. */
static void test_no_peaks(void **state)
{
	struct tree *tree = *state;
	struct usage usage;

	put(tree, "lxc.payload.c1/memory.current", "1000\n");
	usage = count(tree, "0::/lxc.payload.c1\n");
	assert_usage(&usage, (const int64_t[]){1000, 0, 0, 0, -1, -1});
}

static void test_hybrid(void **state)
{
	struct tree *tree = *state;
	struct usage usage;

	put(tree, "memory/lxc.payload.c1/memory.usage_in_bytes", "1000\n");
	put(tree, "unified/lxc.payload.c1/cpu.stat", "usage_usec 5\n");
	usage = count(tree, "3:memory:/lxc.payload.c1\n0::/lxc.payload.c1\n");
	assert_usage(&usage, (const int64_t[]){1000, 0, 0, 0, 5000, -1});
}

/* Groups that others are in as well, or that cannot be seen from here, tell nothing of the container. */
static void test_not_its_own(void **state)
{
	static const char *const listings[] = {
		"",
		"\n",
		":",
		"::",
		":::",
		"0::\n",
		"0::/\n",
		"0::/user.slice\n",
		"0::/lxc.payload\n",
		"0::/lxc.payload.c2\n",
		"0::/../lxc.payload.c1\n",
		"4:memory:/\n0::/lxc.payload.c1\n",
		"4:cpuset,memory,pids:/user.slice\n0::/lxc.payload.c1\n",
		"0:/lxc.payload.c1",
		"lxc.payload.c1",
	};
	struct tree *tree = *state;

	put(tree, "memory.current", "1\n");
	put(tree, "memory/memory.usage_in_bytes", "1\n");
	put(tree, "user.slice/memory.current", "1\n");
	put(tree, "lxc.payload.c1/memory.current", "1\n");
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		struct usage usage = count(tree, listings[i]);

		if (usage.memory != -1)
			fail_msg("\"%s\" gave %lld", listings[i], (long long)usage.memory);
	}
}

/* init can be so deep in groups of its own that not all is read. */
static void test_long_listing(void **state)
{
	struct tree *tree = *state;
	char listing[40000];
	size_t length;
	struct usage usage;

	put(tree, "lxc.payload.c1/memory.current", "1000\n");
	length = (size_t)snprintf(listing, sizeof(listing), "0::/lxc.payload.c1/");
	memset(listing + length, 'x', sizeof(listing) - length - 1);
	listing[sizeof(listing) - 1] = '\0';
	usage = count(tree, listing);
	assert_int_equal(usage.memory, 1000);

	memset(listing + 4, 'x', 39000);
	listing[3] = '/';
	usage = count(tree, listing);
	assert_int_equal(usage.memory, -1);
}

static void test_no_numbers(void **state)
{
	static const char *const texts[] = {"",     "\n",   "max\n", "-5\n",
					    " 5\n", "5x\n", "0x5\n", "99999999999999999999\n"};
	struct tree *tree = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char text[64];
		struct usage usage;

		put(tree, "lxc.payload.c1/memory.current", texts[i]);
		snprintf(text, sizeof(text), "usage_usec %s", texts[i]);
		put(tree, "lxc.payload.c1/cpu.stat", text);
		usage = count(tree, "0::/lxc.payload.c1\n");
		if (usage.memory != -1 || usage.cpu != -1)
			fail_msg("\"%s\" gave %lld, %lld", texts[i], (long long)usage.memory, (long long)usage.cpu);
	}
	put(tree, "lxc.payload.c1/cpu.stat", "usage_usec 9223372036854775807\n");
	assert_int_equal(count(tree, "0::/lxc.payload.c1\n").cpu, -1);
}

/* --- processes --- */

/* Runs `prepare` in a child that then stands still; the child says when it is ready. */
static pid_t start_child(void (*prepare)(void))
{
	int pipes[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prepare();
		if (write(pipes[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	return pid;
}

static void end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void do_nothing(void)
{
}

/* It goes when its parent does. */
static void make_grandchild(void)
{
	pid_t parent = getpid();

	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
		if (getppid() == parent)
			pause();
		_exit(1);
	}
}

static void take_odd_name(void)
{
	prctl(PR_SET_NAME, "a) R 1\n(b\n");
}

/* A process may call itself as it likes: the kernel writes even newlines as they are, where it writes numbers. */
static void test_odd_name(void **state)
{
	pid_t pid = start_child(take_odd_name);
	struct usage usage;

	usage_of(pid, &usage);
	end_child(pid);
	assert_int_equal(usage.processes, 1);
}

static void test_descendants(void **state)
{
	pid_t pid = start_child(make_grandchild);
	struct usage usage, contained;

	usage_of(pid, &usage);
	assert_int_equal(usage.processes, 2);
	assert_true(usage.memory > 0 && usage.memory_peak > 0 && usage.cpu >= 0);

	/* It is in no container, so there is nothing but the walk. */
	usage_of_container(pid, &contained);
	assert_int_equal(contained.processes, 2);
	assert_true(contained.memory > 0);
	end_child(pid);

	usage_of(pid, &usage);
	assert_int_equal(usage.processes, 0);
	usage_of_container(pid, &usage);
	assert_usage(&usage, (const int64_t[]){0, 0, 0, 0, 0, 0});
}

/* --- interfaces --- */

static ino_t own_namespace(void)
{
	struct stat status;

	assert_int_equal(stat("/proc/self/ns/net", &status), 0);
	return status.st_ino;
}

static void leave_network(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		_exit(2);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		_exit(2);
	close(fd);
}

static void skip_unless_root(void)
{
	if (geteuid() != 0) {
		print_message("only root makes namespaces\n");
		skip();
	}
}

static void test_loopback(void **state)
{
	static struct network network;
	bool found[2] = {false};
	ino_t before = own_namespace();
	pid_t pid;

	skip_unless_root();
	pid = start_child(leave_network);
	assert_int_equal(network_of(pid, &network), 0);
	assert_int_equal(network.interface_count, 1);
	assert_string_equal(network.interfaces[0].name, "lo");
	assert_string_equal(network.interfaces[0].hardware, "");
	assert_string_equal(network.interfaces[0].host_name, "");
	assert_int_equal(network.interfaces[0].mtu, 65536);
	assert_int_equal(network.interfaces[0].flags & (IFF_UP | IFF_LOOPBACK), IFF_UP | IFF_LOOPBACK);
	for (unsigned int i = 0; i < network.address_count; i++) {
		struct network_address *address = &network.addresses[i];

		assert_int_equal(address->interface, network.interfaces[0].index);
		assert_string_equal(address->scope, "local");
		found[0] |=
			address->family == AF_INET && address->prefix == 8 && strcmp(address->text, "127.0.0.1") == 0;
		found[1] |= address->family == AF_INET6 && address->prefix == 128 && strcmp(address->text, "::1") == 0;
	}
	assert_true(found[0]);
	assert_true(found[1] || access("/proc/net/if_inet6", F_OK) < 0);
	end_child(pid);
	assert_int_equal(own_namespace(), before);
}

static void test_no_network_of_its_own(void **state)
{
	static struct network network;
	pid_t pid;

	assert_int_equal(network_of(getpid(), &network), -ENODATA);
	pid = start_child(do_nothing);
	end_child(pid);
	assert_int_equal(network_of(pid, &network), -ENOENT);
}

/* A pair of veth(4), both ends here, named by the kernel. */
static void add_pair(int fd)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg message;
		struct rtattr information, kind;
		char name[8];
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_NEWLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL},
		.information = {.rta_len = 2 * sizeof(struct rtattr) + 8, .rta_type = IFLA_LINKINFO},
		.kind = {.rta_len = sizeof(struct rtattr) + sizeof("veth"), .rta_type = IFLA_INFO_KIND},
		.name = "veth",
	};

	if (send(fd, &request, sizeof(request), 0) != sizeof(request))
		_exit(2);
}

static void make_too_much(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
	int fd;

	leave_network();
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	for (int i = 0; i < NETWORK_INTERFACES_MAX; i++)
		add_pair(fd);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	address->sin_family = AF_INET;
	for (uint32_t i = 0; i < 2 * NETWORK_ADDRESSES_MAX; i++) {
		snprintf(request.ifr_name, sizeof(request.ifr_name), "lo:%u", i);
		address->sin_addr.s_addr = htonl(0x0a000001 + i);
		if (ioctl(fd, SIOCSIFADDR, &request) < 0)
			_exit(2);
	}
	close(fd);
}

static void test_too_much(void **state)
{
	static struct network network;
	pid_t pid;

	skip_unless_root();
	pid = start_child(make_too_much);
	assert_int_equal(network_of(pid, &network), 0);
	assert_int_equal(network.interface_count, NETWORK_INTERFACES_MAX);
	assert_int_equal(network.address_count, NETWORK_ADDRESSES_MAX);
	for (unsigned int i = 1; i < network.interface_count; i++) {
		assert_int_equal(strncmp(network.interfaces[i].name, "veth", 4), 0);
		assert_int_equal(strlen(network.interfaces[i].hardware), strlen("00:11:22:33:44:55"));
		assert_string_equal(network.interfaces[i].host_name, ""); /* its other end is beside it */
	}
	assert_string_equal(network.addresses[1].scope, "global");
	end_child(pid);
}

/* Asked for again and again: nothing stays open, and we stay where we are. */
static void test_again_and_again(void **state)
{
	static struct network network;
	ino_t before = own_namespace();
	int first, last;
	pid_t pid;

	skip_unless_root();
	pid = start_child(leave_network);
	first = dup(0);
	close(first);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(network_of(pid, &network), 0);
	last = dup(0);
	close(last);
	assert_int_equal(first, last);
	assert_int_equal(own_namespace(), before);
	end_child(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_peaks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hybrid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_listing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_numbers, setup, teardown),
		cmocka_unit_test(test_odd_name),
		cmocka_unit_test(test_descendants),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_no_network_of_its_own),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
