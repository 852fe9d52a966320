// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_lxc.h"

#include "instances/driver.h"
#include "instances/limit.h"
#include "instances/raw_lxc.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOT "\"root\": {\"type\": \"disk\", \"path\": \"/\", \"source\": \"/srv/c1\"}"

/* A machine with CPUs 0 to 3 and the older hierarchies of cgroups. */
static struct driver_lxc_host machine(bool mapped)
{
	struct driver_lxc_host host = {
		.memory = CGROUP_V1,
		.cpuset = CGROUP_V1,
		.devices = CGROUP_V1,
		.memory_total = UINT64_C(1) << 30,
		.seccomp = "/list",
		.mapped = mapped,
		.idmap = {.uid = 100000, .gid = 200000},
	};

	for (int cpu = 0; cpu < 4; cpu++)
		CPU_SET(cpu, &host.cpus);
	return host;
}

static struct store_row make_row(const char *config, const char *devices)
{
	static char name[] = "c1";
	struct store_row row = {.name = name, .config = json_loads(config, 0, NULL)};

	row.devices = json_loads(devices, 0, NULL);
	assert_non_null(row.config);
	assert_non_null(row.devices);
	return row;
}

static void row_finish(struct store_row *row)
{
	json_decref(row->config);
	json_decref(row->devices);
}

static void assert_items(const struct items *items, const char *const *expected)
{
	for (size_t i = 0; i < items->count && expected[i]; i++)
		assert_string_equal(items->list[i], expected[i]);
	for (size_t i = 0; i <= items->count; i++)
		if (!items->list[i] != !expected[i])
			fail_msg("item %zu: %s, not %s", i, items->list[i], expected[i]);
}

static void check_items(const char *config, const char *devices, const struct driver_lxc_host *host,
			const char *const *expected)
{
	struct store_row row = make_row(config, devices);
	struct items items = {0};
	struct error error = {0};

	if (driver_lxc_items(&row, host, &items, &error) != 0)
		fail_msg("%s", error_text(&error));
	assert_items(&items, expected);
	items_finish(&items);
	row_finish(&row);
}

/* The one item that begins so, or NULL. */
static const char *find(const struct items *items, const char *begin)
{
	const char *found = NULL;

	for (size_t i = 0; i < items->count; i++) {
		if (strncmp(items->list[i], begin, strlen(begin)) != 0)
			continue;
		assert_null(found);
		found = items->list[i];
	}
	return found;
}

static void check_item(const char *config, const struct driver_lxc_host *host, const char *begin, const char *expected)
{
	struct store_row row = make_row(config, "{" ROOT "}");
	struct items items = {0};
	const char *item;

	assert_int_equal(driver_lxc_items(&row, host, &items, NULL), 0);
	item = find(&items, begin);
	if (expected) {
		assert_non_null(item);
		assert_string_equal(item, expected);
	} else {
		assert_null(item);
	}
	items_finish(&items);
	row_finish(&row);
}

static void check_refused(const char *config, const char *devices, const struct driver_lxc_host *host,
			  const char *reason)
{
	struct store_row row = make_row(config, devices);
	struct items items = {0};
	struct error error = {0};

	assert_true(driver_lxc_items(&row, host, &items, &error) < 0);
	assert_string_equal(error.text, reason);
	items_finish(&items);
	row_finish(&row);
}

static void test_mapped(void **state)
{
	static const char *const expected[] = {
		"lxc.rootfs.path=dir:/srv/c1",
		"lxc.uts.name=c1",
		"lxc.autodev=1",
		"lxc.tty.max=0",
		"lxc.pty.max=1024",
		"lxc.mount.auto=proc:rw sys:rw",
		"lxc.idmap=u 0 100000 65536",
		"lxc.idmap=g 0 200000 65536",
		"lxc.seccomp.profile=/list",
		"lxc.environment=A=b=c d",
		"lxc.environment=E=",
		NULL,
	};
	struct driver_lxc_host host = machine(true);

	check_items("{\"environment.A\": \"b=c d\", \"environment.E\": \"\", \"user.a\": \"b\"}", "{" ROOT "}", &host,
		    expected);
}

static void test_privileged(void **state)
{
	static const char *const expected[] = {
		"lxc.rootfs.path=dir:/srv/c1",
		"lxc.rootfs.options=ro",
		"lxc.uts.name=c1",
		"lxc.autodev=1",
		"lxc.tty.max=0",
		"lxc.pty.max=1024",
		"lxc.mount.auto=proc:mixed sys:mixed",
		"lxc.cap.drop=mac_admin mac_override sys_time sys_module sys_rawio",
		"lxc.cgroup2.devices.deny=a",
		"lxc.cgroup2.devices.allow=c *:* m",
		"lxc.cgroup2.devices.allow=b *:* m",
		"lxc.cgroup2.devices.allow=c 1:3 rwm",
		"lxc.cgroup2.devices.allow=c 1:5 rwm",
		"lxc.cgroup2.devices.allow=c 1:7 rwm",
		"lxc.cgroup2.devices.allow=c 5:0 rwm",
		"lxc.cgroup2.devices.allow=c 5:1 rwm",
		"lxc.cgroup2.devices.allow=c 5:2 rwm",
		"lxc.cgroup2.devices.allow=c 1:8 rwm",
		"lxc.cgroup2.devices.allow=c 1:9 rwm",
		"lxc.cgroup2.devices.allow=c 136:* rwm",
		"lxc.cgroup2.devices.allow=c 10:229 rwm",
		"lxc.cap.drop=",
		"lxc.mount.auto=cgroup:mixed",
		NULL,
	};
	struct driver_lxc_host host = machine(false);

	host.devices = CGROUP_V2;
	host.seccomp = NULL;
	host.apparmor = true;
	check_items("{\"raw.lxc\": \"lxc.cap.drop =\\n# more\\nlxc.mount.auto = cgroup:mixed\\n\"}",
		    "{\"root\": {\"type\": \"disk\", \"path\": \"/\", \"source\": \"/srv/c1\", \"readonly\": \"1\"}}",
		    &host, expected);
}

/* liblxc reads an entry up to PATH_MAX, and would mount what it has read by then. */
static void test_long_disk(void **state)
{
	struct driver_lxc_host host = machine(true);
	char devices[3 * PATH_MAX], path[PATH_MAX];
	struct items items = {0};
	struct store_row row;

	memset(path, 'x', sizeof(path));
	path[PATH_MAX - 70] = '\0';
	snprintf(devices, sizeof(devices),
		 "{" ROOT ", \"d\": {\"type\": \"disk\", \"source\": \"/\", \"path\": \"/%s\"}}", path);
	row = make_row("{}", devices);
	assert_int_equal(driver_lxc_items(&row, &host, &items, NULL), 0);
	items_finish(&items);
	row_finish(&row);
	path[PATH_MAX - 70] = 'x';
	path[PATH_MAX - 60] = '\0';
	snprintf(devices, sizeof(devices),
		 "{" ROOT ", \"d\": {\"type\": \"disk\", \"source\": \"/\", \"path\": \"/%s\"}}", path);
	check_refused("{}", devices, &host, "Failed to start device \"d\": source and path are too long");
}

/* An included file has no say in what raw.lxc has none in. */
static void test_include(void **state)
{
	struct driver_lxc_host host = machine(true);
	struct store_row row = make_row("{\"raw.lxc\": \"lxc.include = /x\"}", "{" ROOT "}");
	struct items items = {0};
	size_t include = 0;

	assert_int_equal(driver_lxc_items(&row, &host, &items, NULL), 0);
	while (strcmp(items.list[include], "lxc.include=/x") != 0)
		assert_true(++include < items.count);
	assert_string_equal(items.list[include + 1], "lxc.rootfs.path=dir:/srv/c1");
	assert_string_equal(items.list[include + 2], "lxc.ephemeral=0");
	items_finish(&items);
	row_finish(&row);
}

static void test_security(void **state)
{
	struct driver_lxc_host host = machine(true);

	check_item("{}", &host, "lxc.apparmor.profile", NULL);
	host.apparmor = true;
	check_item("{}", &host, "lxc.apparmor.profile", "lxc.apparmor.profile=unconfined");
	check_item("{\"raw.lxc\": \"lxc.idmap = u 0 7 9\"}", &host, "lxc.idmap", "lxc.idmap=u 0 7 9");
	host = machine(false);
	check_item("{}", &host, "lxc.cgroup.devices.deny", "lxc.cgroup.devices.deny=a");
	host.devices = CGROUP_NONE;
	check_item("{}", &host, "lxc.cgroup", NULL);
}

static void test_limits(void **state)
{
	struct driver_lxc_host host = machine(true);

	check_item("{\"limits.memory\": \"64MiB\"}", &host, "lxc.cgroup", "lxc.cgroup.memory.limit_in_bytes=67108864");
	check_item("{\"limits.memory\": \"50%\"}", &host, "lxc.cgroup", "lxc.cgroup.memory.limit_in_bytes=536870900");
	check_item("{\"limits.cpu\": \"0-1,3\"}", &host, "lxc.cgroup", "lxc.cgroup.cpuset.cpus=0,1,3");
	check_item("{\"limits.cpu\": \"4\"}", &host, "lxc.cgroup", "lxc.cgroup.cpuset.cpus=0,1,2,3");
	check_item("{\"limits.cpu\": \"9000\"}", &host, "lxc.cgroup", "lxc.cgroup.cpuset.cpus=0,1,2,3");
	check_refused("{\"limits.cpu\": \"3-4\"}", "{}", &host, "limits.cpu: 3-4: this machine has the CPUs 0,1,2,3");
	host.memory = host.cpuset = CGROUP_V2;
	check_item("{\"limits.memory\": \"1\"}", &host, "lxc.cgroup", "lxc.cgroup2.memory.max=1");
	check_item("{\"limits.cpu\": \"2-2\"}", &host, "lxc.cgroup", "lxc.cgroup2.cpuset.cpus=2");
	host.memory = host.cpuset = CGROUP_NONE;
	check_refused("{\"limits.memory\": \"1\"}", "{}", &host,
		      "limits.memory: this machine has no memory controller (cgroups)");
	check_refused("{\"limits.cpu\": \"1\"}", "{}", &host,
		      "limits.cpu: this machine has no cpuset controller (cgroups)");
}

/* So many as were asked for, of those that there are, the same for a name each time; names spread over all. */
static void test_pick_cpus(void **state)
{
	cpu_set_t from, picked, again, all;
	char name[16];

	CPU_ZERO(&from);
	for (int cpu = 1; cpu <= 13; cpu += 4)
		CPU_SET(cpu, &from);
	for (unsigned int number = 1; number <= 6; number++) {
		CPU_ZERO(&all);
		for (int i = 0; i < 64; i++) {
			snprintf(name, sizeof(name), "c%d", i);
			limit_pick_cpus(&from, number, name, &picked);
			limit_pick_cpus(&from, number, name, &again);
			assert_true(CPU_EQUAL(&picked, &again));
			assert_int_equal(CPU_COUNT(&picked), number < 4 ? number : 4);
			CPU_OR(&all, &all, &picked);
		}
		assert_true(CPU_EQUAL(&all, &from));
	}
}

static void test_devices(void **state)
{
	static const char *const nics[] = {
		"lxc.net.0.type=veth",
		"lxc.net.0.link=br0",
		"lxc.net.0.flags=up",
		"lxc.net.0.name=lan",
		"lxc.net.0.hwaddr=00:16:3e:00:00:01",
		"lxc.net.0.mtu=1400",
		"lxc.net.1.type=macvlan",
		"lxc.net.1.link=eth0",
		"lxc.net.1.macvlan.mode=bridge",
		"lxc.net.1.flags=up",
		"lxc.net.2.type=phys",
		"lxc.net.2.link=eth1",
		"lxc.net.2.flags=up",
	};
	static const char devices[] =
		"{" ROOT
		", \"a\": {\"type\": \"nic\", \"nictype\": \"bridged\", \"parent\": \"br0\", \"name\": \"lan\","
		" \"hwaddr\": \"00:16:3e:00:00:01\", \"mtu\": \"1400\"}, \"b\": {\"type\": \"none\"},"
		" \"c\": {\"type\": \"nic\", \"nictype\": \"macvlan\", \"parent\": \"eth0\"},"
		" \"d\": {\"type\": \"nic\", \"nictype\": \"physical\", \"parent\": \"eth1\"}}";
	struct driver_lxc_host host = machine(true);
	struct store_row row = make_row("{}", devices);
	struct items items = {0};
	size_t begin;

	assert_int_equal(driver_lxc_items(&row, &host, &items, NULL), 0);
	assert_true(items.count > sizeof(nics) / sizeof(nics[0]));
	begin = items.count - sizeof(nics) / sizeof(nics[0]);
	for (size_t i = 0; i < sizeof(nics) / sizeof(nics[0]); i++)
		assert_string_equal(items.list[begin + i], nics[i]);
	items_finish(&items);
	row_finish(&row);
}

static void test_disks(void **state)
{
	struct driver_lxc_host host = machine(true);
	char directory[] = "/tmp/lxc-XXXXXX", source[64], expected[256];
	struct store_row row = make_row("{}", "{" ROOT "}");
	struct items items = {0};
	struct error error = {0};
	json_t *disk = json_object();

	assert_non_null(mkdtemp(directory));
	snprintf(source, sizeof(source), "%s/a b", directory);
	json_object_set_new(disk, "type", json_string("disk"));
	json_object_set_new(disk, "source", json_string(source));
	json_object_set_new(disk, "path", json_string("/m\t\\x"));
	json_object_set_new(disk, "readonly", json_string("true"));
	json_object_set_new(row.devices, "data", disk);

	assert_int_equal(driver_lxc_items(&row, &host, &items, &error), -ENOENT);
	snprintf(expected, sizeof(expected), "Failed to start device \"data\": source: %s: No such file or directory",
		 source);
	assert_string_equal(error.text, expected);
	items_finish(&items);

	assert_int_equal(mkdir(source, 0700), 0);
	assert_int_equal(driver_lxc_items(&row, &host, &items, NULL), 0);
	snprintf(expected, sizeof(expected), "lxc.mount.entry=%s/a\\040b m\\011\\134x none bind,create=dir,ro 0 0",
		 directory);
	assert_string_equal(find(&items, "lxc.mount.entry"), expected);
	items_finish(&items);
	assert_int_equal(rmdir(source), 0);

	fclose(fopen(source, "we"));
	json_object_del(disk, "readonly");
	assert_int_equal(driver_lxc_items(&row, &host, &items, NULL), 0);
	snprintf(expected, sizeof(expected), "lxc.mount.entry=%s/a\\040b m\\011\\134x none bind,create=file 0 0",
		 directory);
	assert_string_equal(find(&items, "lxc.mount.entry"), expected);
	items_finish(&items);
	unlink(source);
	rmdir(directory);
	row_finish(&row);
}

/* The error of the root's check, or an empty text. */
static const char *rootfs_error(const char *config, const char *source, const struct driver_lxc_host *host)
{
	static struct error error;
	struct store_row row = make_row(config, "{\"r\": {\"type\": \"disk\", \"path\": \"/\"}}");
	int r;

	error = (struct error){0};
	json_object_set_new(json_object_get(row.devices, "r"), "source", json_string(source));
	r = driver_lxc_check_rootfs(&row, host, &error);
	assert_int_equal(r < 0, error.text[0] != '\0');
	row_finish(&row);
	return error.text;
}

static void test_rootfs(void **state)
{
	char directory[] = "/tmp/lxc-XXXXXX", expected[ERROR_TEXT_MAX];
	struct driver_lxc_host host = machine(true);

	assert_non_null(mkdtemp(directory));
	host.idmap = (struct idmap){.uid = getuid(), .gid = getgid()};
	assert_string_equal(rootfs_error("{}", directory, &host), "");
	host.idmap.uid = getuid() + 1;
	snprintf(expected, sizeof(expected),
		 "Failed to start device \"r\": source: %s belongs to uid %u, and the container's root is uid %u: "
		 "chown -R it, or set security.privileged=true",
		 directory, getuid(), getuid() + 1);
	assert_string_equal(rootfs_error("{}", directory, &host), expected);
	assert_string_equal(rootfs_error("{\"raw.lxc\": \"lxc.idmap=u 0 1 2\"}", directory, &host), "");
	assert_string_equal(rootfs_error("{\"raw.lxc\": \"lxc.rootfs.options=idmap=container\"}", directory, &host),
			    "");
	assert_string_equal(rootfs_error("{}", "/dev/null", &host),
			    "Failed to start device \"r\": source: /dev/null is not a directory");
	assert_string_equal(rootfs_error("{}", "/no/such", &host),
			    "Failed to start device \"r\": source: /no/such: No such file or directory");
	host.mapped = false;
	if (getuid() == 0) {
		assert_string_equal(rootfs_error("{}", directory, &host), "");
		assert_int_equal(chown(directory, 100000, 100000), 0);
	}
	snprintf(expected, sizeof(expected),
		 "Failed to start device \"r\": source: %s belongs to uid %u, and a privileged container's root is "
		 "uid 0: chown -R it, or set security.privileged=false",
		 directory, getuid() == 0 ? 100000 : getuid());
	assert_string_equal(rootfs_error("{}", directory, &host), expected);
	rmdir(directory);
}

/* A directory that the mapped root may not pass is seen, and our own ids are what they were. */
static void test_reachable(void **state)
{
	char directory[] = "/tmp/lxc-XXXXXX", inside[64];
	struct driver_lxc_host host = machine(true);

	assert_non_null(mkdtemp(directory));
	snprintf(inside, sizeof(inside), "%s/in", directory);
	assert_int_equal(mkdir(inside, 0755), 0);
	host.idmap = (struct idmap){.uid = getuid(), .gid = getgid()};
	assert_int_equal(driver_lxc_reach(inside, &host), 0);
	assert_int_equal(driver_lxc_reach("/no/such", &host), -ENOENT);
	if (getuid() == 0) { /* only root can be another */
		host.idmap = (struct idmap){.uid = 100000, .gid = 100000};
		assert_int_equal(driver_lxc_reach(inside, &host), -EACCES);
		assert_int_equal(access(inside, X_OK), 0);
		assert_int_equal(chmod(directory, 0711), 0);
		assert_int_equal(driver_lxc_reach(inside, &host), 0);
	}
	rmdir(inside);
	rmdir(directory);
}

static const struct {
	const char *text;
	const char *items; /* joined by '|' */
	const char *reason;
} raws[] = {
	{"", "", NULL},
	{"\n\n \t \n# lxc.console.path = x\n  # and so on\n", "", NULL},
	{"lxc.a=b", "lxc.a=b", NULL},
	{" \tlxc.a \t= b c\t \n", "lxc.a=b c", NULL},
	{"lxc.a = b = c # d\nlxc.b =\nlxc.c=", "lxc.a=b = c # d|lxc.b=|lxc.c=", NULL},
	{"lxc.a = \"b \"\nlxc.a='b'\nlxc.a='b\"\nlxc.a='\nlxc.a=''",
	 "lxc.a=b |lxc.a=b|lxc.a='b\"|lxc.a='|lxc.a=", NULL},
	{"lxc.log.level=1\nlxc.rootfs.options=ro\nlxc.consoles=1\nlxc.uts.name=x",
	 "lxc.log.level=1|lxc.rootfs.options=ro|lxc.consoles=1|lxc.uts.name=x", NULL},
	{"lxc.a", "", "raw.lxc line 1: no '=' in \"lxc.a\""},
	{"lxc.a=1\n\nfoo = bar", "lxc.a=1", "raw.lxc line 3: foo: not a key of LXC"},
	{"= x", "", "raw.lxc line 1: : not a key of LXC"},
	{"#\nlxc.console.path = none", "", "raw.lxc line 2: lxc.console.path: the console is kept by consoled"},
	{"lxc.console.logfile=/x", "", "raw.lxc line 1: lxc.console.logfile: the console is kept by consoled"},
	{"lxc.console=", "", "raw.lxc line 1: lxc.console: the console is kept by consoled"},
	{"lxc.log.file=/x", "", "raw.lxc line 1: lxc.log.file: liblxc's log is kept by consoled (lxc info --show-log)"},
	{"lxc.syslog=1", "", "raw.lxc line 1: lxc.syslog: liblxc's log is kept by consoled (lxc info --show-log)"},
	{"lxc.ephemeral=1", "",
	 "raw.lxc line 1: lxc.ephemeral: make an ephemeral instance instead (lxc init --ephemeral)"},
	{"lxc.execute.cmd=x", "", "raw.lxc line 1: lxc.execute.cmd: of no effect here: lxc.init.cmd names what is run"},
	{"lxc.monitor.unshare=1", "",
	 "raw.lxc line 1: lxc.monitor.unshare: liblxc's monitor is looked after by consoled"},
	{"lxc.cgroup.dir.monitor=x", "",
	 "raw.lxc line 1: lxc.cgroup.dir.monitor: consoled finds the container's cgroups by liblxc's own names"},
	{"lxc.rootfs.path=/x", "",
	 "raw.lxc line 1: lxc.rootfs.path: the disk device with path=/ says where the root file system is"},
};

static void test_raw(void **state)
{
	for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		struct items items = {0};
		struct error error = {0};
		char joined[256] = "";
		int r = raw_lxc_parse(raws[i].text, &items, &error);

		for (size_t k = 0; k < items.count; k++) {
			if (k > 0)
				strcat(joined, "|");
			strcat(joined, items.list[k]);
		}
		assert_string_equal(joined, raws[i].items);
		assert_string_equal(error.text, raws[i].reason ? raws[i].reason : "");
		assert_int_equal(r, raws[i].reason ? -EINVAL : 0);
		items_finish(&items);
	}
}

static const struct {
	const char *config, *devices;
	const struct driver *driver; /* NULL: nothing to run */
	const char *reason;          /* NULL: it makes sense */
} checks[] = {
	{"{}", "{}", NULL, NULL},
	{"{}", "{\"r\": {\"type\": \"disk\", \"path\": \"/\", \"pool\": \"default\"}}", NULL, NULL},
	{"{}", "{" ROOT "}", &driver_lxc, NULL},
	{"{\"raw.lxc\": \"lxc.a=b\", \"limits.cpu\": \"1\"}", "{" ROOT "}", &driver_lxc, NULL},
	{"{\"process.user\": \"root\"}", "{" ROOT "}", &driver_lxc,
	 "process.user: only for programs (process.command)"},
	{"{}", "{" ROOT ", \"e\": {\"type\": \"nic\"}}", &driver_lxc,
	 "Device validation failed for \"e\": a container's nic needs nictype"},
	{"{}", "{" ROOT ", \"e\": {\"type\": \"nic\", \"nictype\": \"bridged\"}}", &driver_lxc,
	 "Device validation failed for \"e\": a container's nic needs parent"},
	{"{}", "{" ROOT ", \"e\": {\"type\": \"disk\", \"path\": \"/x\"}}", &driver_lxc,
	 "Device validation failed for \"e\": a container's disk needs source"},
	{"{}", "{" ROOT ", \"e\": {\"type\": \"disk\", \"source\": \"/x\"}}", &driver_lxc,
	 "Device validation failed for \"e\": a container's disk needs path"},
	{"{\"process.command\": \"sh\"}", "{\"e\": {\"type\": \"nic\"}}", &driver_process, NULL},
	{"{\"process.command\": \"sh\"}", "{" ROOT "}", &driver_process,
	 "process.command: device \"root\" has the root of a container already, and an instance runs one or the other"},
	{"{\"process.command\": \"sh\", \"raw.lxc\": \"lxc.a=b\"}", "{}", &driver_process,
	 "raw.lxc: only for containers, not for programs (process.command)"},
};

static void test_check(void **state)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct store_row row = make_row(checks[i].config, checks[i].devices);
		const struct driver *driver = driver_find(&row);
		struct error error = {0};

		assert_ptr_equal(driver, checks[i].driver);
		if (driver)
			assert_int_equal(driver->check(&row, &error), checks[i].reason ? -EINVAL : 0);
		assert_string_equal(error.text, checks[i].reason ? checks[i].reason : "");
		row_finish(&row);
	}
}

/* One that is not ours is a container, whatever else is known of it. */
static void test_foreign(void **state)
{
	struct store_row row = make_row("{\"process.user\": \"root\"}", "{}");
	char path[] = "/var/lib/lxc";

	row.lxcpath = path;
	assert_ptr_equal(driver_find(&row), &driver_lxc);
	assert_int_equal(driver_lxc.check(&row, NULL), 0);
	row_finish(&row);
}

/* What this machine says of itself fits together. */
static void test_host(void **state)
{
	struct driver_lxc_host host;

	assert_int_equal(driver_lxc_host_read(&host), 0);
	assert_true(host.memory_total > 0);
	assert_int_equal(CPU_COUNT(&host.cpus), sysconf(_SC_NPROCESSORS_ONLN));
	assert_false(host.mapped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mapped),    cmocka_unit_test(test_privileged), cmocka_unit_test(test_long_disk),
		cmocka_unit_test(test_include),   cmocka_unit_test(test_security),   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_pick_cpus), cmocka_unit_test(test_devices),    cmocka_unit_test(test_disks),
		cmocka_unit_test(test_rootfs),    cmocka_unit_test(test_reachable),  cmocka_unit_test(test_raw),
		cmocka_unit_test(test_check),     cmocka_unit_test(test_foreign),    cmocka_unit_test(test_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
