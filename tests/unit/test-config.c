// SPDX-License-Identifier: Apache-2.0
#include "instances/config.h"
#include "instances/value.h"
#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CT INSTANCE_CONTAINER
#define VM INSTANCE_VIRTUAL_MACHINE

#define NOT_MEMORY(value) \
	"limits.memory: a size such as 512MiB, or a share of the machine's such as 50%, not \"" value "\""
#define NOT_CPUS(value) "limits.cpu: a number of CPUs, or a set of them such as 0-1,3, not \"" value "\""

#define SPEED(value)                                                                                            \
	"serial.speed: a speed such as 115200, perhaps with data bits, parity and stop bits such as 9600,7e1, " \
	"not \"" value "\""

static const struct {
	enum instance_type type;
	const char *key, *value;
	const char *reason; /* NULL: accepted */
} checks[] = {
	{CT, "process.command", "/bin/sh -c 'ls -l'", NULL},
	{CT, "process.command", "sh", NULL},
	{CT, "process.command", "", NULL},
	{CT, "process.command", "sh -c 'ls", "process.command: unfinished quote: 'ls"},
	{CT, "process.command", "sh \"", "process.command: unfinished quote: \""},
	{CT, "process.command", "sh \\", "process.command: trailing backslash"},
	{CT, "process.command", "  ", "process.command: names no program"},
	{CT, "process.command", "'' a", "process.command: names no program"},
	{VM, "process.command", "sh", "process.command: not for virtual machines"},
	{CT, "process.directory", "/", NULL},
	{CT, "process.directory", "/no/such/directory", NULL},
	{CT, "process.directory", "", NULL},
	{CT, "process.directory", "tmp", "process.directory: an absolute path, not \"tmp\""},
	{CT, "process.directory", "./", "process.directory: an absolute path, not \"./\""},
	{CT, "process.directory", " /", "process.directory: an absolute path, not \" /\""},
	{VM, "process.directory", "/", "process.directory: not for virtual machines"},
	{CT, "process.user", "root", NULL},
	{CT, "process.user", "0", NULL},
	{CT, "process.user", "", NULL},
	{CT, "process.user", "no-such-user", "process.user: no such user: no-such-user"},
	{CT, "process.user", "4294901234", "process.user: no such user: 4294901234"},
	{CT, "process.user", "4294967295", "process.user: no such user: 4294967295"},
	{CT, "process.user", "4294967296", "process.user: no such user: 4294967296"},
	{CT, "process.user", "99999999999999999999", "process.user: no such user: 99999999999999999999"},
	{CT, "process.user", "-1", "process.user: no such user: -1"},
	{CT, "process.user", "+0", "process.user: no such user: +0"},
	{CT, "process.user", " 0", "process.user: no such user:  0"},
	{CT, "process.user", "0x0", "process.user: no such user: 0x0"},
	{VM, "process.user", "root", "process.user: not for virtual machines"},
	{CT, "process.restart", "no", NULL},
	{CT, "process.restart", "on-failure", NULL},
	{CT, "process.restart", "always", NULL},
	{CT, "process.restart", "", NULL},
	{CT, "process.restart", "yes", "process.restart: one of no, on-failure, always, not \"yes\""},
	{CT, "process.restart", "Always", "process.restart: one of no, on-failure, always, not \"Always\""},
	{VM, "process.restart", "no", "process.restart: not for virtual machines"},
	{CT, "serial.device", "/dev/ttyUSB0", NULL},
	{CT, "serial.device", "", NULL},
	{CT, "serial.device", "ttyUSB0", "serial.device: an absolute path, not \"ttyUSB0\""},
	{VM, "serial.device", "/dev/ttyUSB0", "serial.device: not for virtual machines"},
	{CT, "serial.speed", "115200", NULL},
	{CT, "serial.speed", "1", NULL},
	{CT, "serial.speed", "99999999", NULL},
	{CT, "serial.speed", "9600,5e1", NULL},
	{CT, "serial.speed", "9600,8O2", NULL},
	{CT, "serial.speed", "", NULL},
	{CT, "serial.speed", "0", SPEED("0")},
	{CT, "serial.speed", "100000000", SPEED("100000000")},
	{CT, "serial.speed", "-9600", SPEED("-9600")},
	{CT, "serial.speed", " 9600", SPEED(" 9600")},
	{CT, "serial.speed", "9600 ", SPEED("9600 ")},
	{CT, "serial.speed", ",8n1", SPEED(",8n1")},
	{CT, "serial.speed", "9600,", SPEED("9600,")},
	{CT, "serial.speed", "9600,8n", SPEED("9600,8n")},
	{CT, "serial.speed", "9600,8n11", SPEED("9600,8n11")},
	{CT, "serial.speed", "9600:8n1", SPEED("9600:8n1")},
	{CT, "serial.speed", "9600,9n1", SPEED("9600,9n1")},
	{CT, "serial.speed", "9600,8m1", SPEED("9600,8m1")},
	{CT, "serial.speed", "9600,8n3", SPEED("9600,8n3")},
	{CT, "serial.flow", "none", NULL},
	{CT, "serial.flow", "rtscts", NULL},
	{CT, "serial.flow", "xonxoff", NULL},
	{CT, "serial.flow", "", NULL},
	{CT, "serial.flow", "hard", "serial.flow: one of none, rtscts, xonxoff, not \"hard\""},
	{CT, "serial.baud", "9600", "Unknown configuration key: serial.baud"},
	{CT, "process.bogus", "x", "Unknown configuration key: process.bogus"},
	{CT, "process.commands", "x", "Unknown configuration key: process.commands"},
	{CT, "process.command.", "x", "Unknown configuration key: process.command."},
	{CT, "process.", "x", "Unknown configuration key: process."},
	{CT, "process", "x", "Unknown configuration key: process"},
	{CT, "environment.TERM", "vt100", NULL},
	{CT, "environment.a.b", "", NULL},
	{CT, "environment.A", "x=y\nz", NULL},
	{CT, "environment.A=B", "", "environment.A=B: a variable's name cannot contain '='"},
	{CT, "environment.=", "x", "environment.=: a variable's name cannot contain '='"},
	{CT, "environment.", "x", "Unknown configuration key: environment."},
	{CT, "environment", "x", "Unknown configuration key: environment"},
	{VM, "environment.A", "x", "environment.A: not for virtual machines"},
	{CT, "boot.autostart", "true", NULL},
	{VM, "boot.autostart", "false", NULL},
	{CT, "boot.autostart", "", NULL},
	{CT, "boot.autostart", "YES", NULL},
	{CT, "boot.autostart", "0", NULL},
	{CT, "boot.autostart", "off", NULL},
	{CT, "boot.autostart", "maybe", "boot.autostart: true or false, not \"maybe\""},
	{CT, "boot.autostart", "2", "boot.autostart: true or false, not \"2\""},
	{CT, "boot.autostart", " true", "boot.autostart: true or false, not \" true\""},
	{CT, "boot.autostart.delay", "1", "Unknown configuration key: boot.autostart.delay"},
	{CT, "console.buffer.size", "64KiB", NULL},
	{VM, "console.buffer.size", "1MiB", NULL},
	{CT, "console.buffer.size", "64MiB", NULL},
	{CT, "console.buffer.size", "131072", NULL},
	{CT, "console.buffer.size", "", NULL},
	{CT, "console.buffer.size", "1MB",
	 "console.buffer.size: a power of two from 64KiB to 64MiB, such as 1MiB, not \"1MB\""},
	{CT, "console.buffer.size", "32KiB",
	 "console.buffer.size: a power of two from 64KiB to 64MiB, such as 1MiB, not \"32KiB\""},
	{CT, "console.buffer.size", "128MiB",
	 "console.buffer.size: a power of two from 64KiB to 64MiB, such as 1MiB, not \"128MiB\""},
	{CT, "console.buffer.size", "65537",
	 "console.buffer.size: a power of two from 64KiB to 64MiB, such as 1MiB, not \"65537\""},
	{CT, "console.buffer.size", "0",
	 "console.buffer.size: a power of two from 64KiB to 64MiB, such as 1MiB, not \"0\""},
	{CT, "console.buffer.size", "big",
	 "console.buffer.size: a power of two from 64KiB to 64MiB, such as 1MiB, not \"big\""},
	{CT, "user.a", "", NULL},
	{VM, "user.any.thing", "\x01\n=", NULL},
	{CT, "user.", "x", "Unknown configuration key: user."},
	{CT, "user", "x", "Unknown configuration key: user"},
	{CT, "volatile.uuid", "8218efdb", NULL},
	{VM, "volatile.last_state.power", "RUNNING", NULL},
	{CT, "bogus.key", "1", "Unknown configuration key: bogus.key"},
	{CT, "", "x", "Unknown configuration key: "},
	{CT, "security.privileged", "true", NULL},
	{CT, "security.privileged", "", NULL},
	{CT, "security.privileged", "perhaps", "security.privileged: true or false, not \"perhaps\""},
	{VM, "security.privileged", "true", "security.privileged: not for virtual machines"},
	{CT, "limits.memory", "1GiB", NULL},
	{CT, "limits.memory", "50%", NULL},
	{CT, "limits.memory", "100%", NULL},
	{CT, "limits.memory", "", NULL},
	{CT, "limits.memory", "0", NOT_MEMORY("0")},
	{CT, "limits.memory", "0%", NOT_MEMORY("0%")},
	{CT, "limits.memory", "101%", NOT_MEMORY("101%")},
	{CT, "limits.memory", "99999999999999999999%", NOT_MEMORY("99999999999999999999%")},
	{CT, "limits.memory", "-1%", NOT_MEMORY("-1%")},
	{CT, "limits.memory", "%", NOT_MEMORY("%")},
	{CT, "limits.memory", "1G", NOT_MEMORY("1G")},
	{CT, "limits.cpu", "1", NULL},
	{CT, "limits.cpu", "999999", NULL},
	{CT, "limits.cpu", "2-2", NULL},
	{CT, "limits.cpu", "0-1,3", NULL},
	{CT, "limits.cpu", "0,1023", NULL},
	{CT, "limits.cpu", "", NULL},
	{CT, "limits.cpu", "0", NOT_CPUS("0")},
	{CT, "limits.cpu", "0,1024", NOT_CPUS("0,1024")},
	{CT, "limits.cpu", "3-1", NOT_CPUS("3-1")},
	{CT, "limits.cpu", "1-", NOT_CPUS("1-")},
	{CT, "limits.cpu", "-1", NOT_CPUS("-1")},
	{CT, "limits.cpu", "1,", NOT_CPUS("1,")},
	{CT, "limits.cpu", "1-2-3", NOT_CPUS("1-2-3")},
	{CT, "limits.cpu", "two", NOT_CPUS("two")},
	{CT, "limits.cpu", "1 ", NOT_CPUS("1 ")},
	{CT, "raw.lxc", "", NULL},
	{CT, "raw.lxc", "lxc.cap.drop = sys_nice", NULL},
	{CT, "raw.lxc", "lxc.cap.drop =\nlxc.console.path = none",
	 "raw.lxc line 2: lxc.console.path: the console is kept by consoled"},
	{VM, "raw.lxc", "", "raw.lxc: not for virtual machines"},
	{VM, "limits.memory", "128MiB", NULL},
	{VM, "limits.memory", "0", NOT_MEMORY("0")},
	{VM, "limits.cpu", "2", NULL},
	{VM, "limits.cpu", "two", NOT_CPUS("two")},
	{VM, "raw.qemu", "", NULL},
	{VM, "raw.qemu", "-M pc -nic user", NULL},
	{VM, "raw.qemu", "-append 'a", "raw.qemu: unfinished quote: 'a"},
	{VM, "raw.qemu", "-M pc -S", "raw.qemu: -S: consoled waits for the machine to run"},
	{CT, "raw.qemu", "-S", "raw.qemu: not for containers"},
	{VM, "consoled.accel", "", NULL},
	{VM, "consoled.accel", "auto", NULL},
	{VM, "consoled.accel", "kvm", NULL},
	{VM, "consoled.accel", "tcg", NULL},
	{VM, "consoled.accel", "xen", "consoled.accel: one of auto, kvm, tcg, not \"xen\""},
	{CT, "consoled.accel", "kvm", "consoled.accel: not for containers"},
	/* of LXD, and of no effect here */
	{CT, "image.os", "busybox", "Unknown configuration key: image.os"},
};

static void test_check(void **state)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		json_auto_t *config = json_pack("{s:s}", checks[i].key, checks[i].value);
		struct error error = {0};
		int r = config_check(checks[i].type, config, &error);

		assert_non_null(config);
		if (!checks[i].reason && r != 0)
			fail_msg("%s=%s: %s", checks[i].key, checks[i].value, error_text(&error));
		if (checks[i].reason) {
			assert_string_equal(error.text, checks[i].reason);
			assert_int_equal(r, -EINVAL);
			assert_int_equal(error.code, -EINVAL);
			assert_int_equal(config_check(checks[i].type, config, NULL), -EINVAL);
		}
	}
}

struct document_check {
	const char *text;
	const char *reason;
};

/* Runs the checks of whole documents; `check` is one of the two functions of config.h. */
static void check_documents(int (*check)(enum instance_type type, const json_t *json, struct error *error),
			    const struct document_check *documents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_auto_t *json = json_loads(documents[i].text, JSON_DECODE_ANY, NULL);
		struct error error = {0};
		int r = check(CT, json, &error);

		assert_non_null(json);
		assert_string_equal(error.text, documents[i].reason ? documents[i].reason : "");
		assert_int_equal(r, documents[i].reason ? -EINVAL : 0);
	}
}

static void test_check_whole(void **state)
{
	static const struct document_check documents[] = {
		{"{}", NULL},
		{"{\"user.a\": \"1\", \"process.command\": \"sh\", \"boot.autostart\": \"1\"}", NULL},
		{"{\"user.a\": \"1\", \"no\": \"sh\", \"nor\": \"1\"}", "Unknown configuration key: no"},
		{"{\"user.a\": 1}", "user.a: the value must be a string"},
		{"{\"boot.autostart\": true}", "boot.autostart: the value must be a string"},
		{"{\"process.command\": null}", "process.command: the value must be a string"},
		{"{\"volatile.a\": {}}", "volatile.a: the value must be a string"},
		{"{\"bogus\": 1}", "Unknown configuration key: bogus"},
		{"[]", "config: must be an object of strings"},
		{"null", "config: must be an object of strings"},
		{"\"user.a\"", "config: must be an object of strings"},
	};

	check_documents(config_check, documents, sizeof(documents) / sizeof(documents[0]));
	assert_int_equal(config_check(CT, NULL, NULL), -EINVAL);
}

static void test_check_devices(void **state)
{
	static const struct document_check documents[] = {
		{"{}", NULL},
		{"{\"root\": {\"type\": \"disk\", \"path\": \"/\", \"pool\": \"default\"}}", NULL},
		{"{\"eth0\": {\"type\": \"nic\"}, \"root\": {\"type\": \"none\"}}", NULL},
		{"{\"root\": {\"type\": \"disk\", \"path\": \"/\", \"source\": \"/dir\", \"pool\": \"default\"}}",
		 NULL},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/mnt/x\", \"source\": \"/a b\", \"readonly\": \"true\"}}",
		 NULL},
		{"{\"a\": {\"type\": \"nic\", \"nictype\": \"bridged\", \"parent\": \"br0\", \"name\": \"eth0\", "
		 "\"hwaddr\": \"00:16:3E:00:ab:01\", \"mtu\": \"1400\"}}",
		 NULL},
		{"{\"a\": {\"type\": \"nic\", \"nictype\": \"\", \"mtu\": \"\"}}", NULL},
		{"{\"a\": {\"type\": \"gpu\"}}",
		 "Device validation failed for \"a\": type: one of disk, nic, none, not \"gpu\""},
		{"{\"a\": {\"type\": \"Disk\"}}",
		 "Device validation failed for \"a\": type: one of disk, nic, none, not \"Disk\""},
		{"{\"a\": {}}", "Device validation failed for \"a\": type: one of disk, nic, none, not \"\""},
		{"{\"a\": {\"type\": 1}}", "Device validation failed for \"a\": type: the value must be a string"},
		{"{\"a\": {\"type\": \"disk\", \"size\": 1}}",
		 "Device validation failed for \"a\": size: the value must be a string"},
		{"{\"ok\": {\"type\": \"nic\"}, \"a\": \"disk\"}",
		 "Device validation failed for \"a\": must be an object of strings"},
		{"{\"a\": null}", "Device validation failed for \"a\": must be an object of strings"},
		{"{\"a\": {\"type\": \"disk\", \"boot.priority\": \"1\"}}",
		 "Device validation failed for \"a\": Invalid device option \"boot.priority\""},
		{"{\"a\": {\"type\": \"nic\", \"network\": \"lxdbr0\"}}",
		 "Device validation failed for \"a\": Invalid device option \"network\""},
		{"{\"a\": {\"type\": \"none\", \"path\": \"/\"}}",
		 "Device validation failed for \"a\": Invalid device option \"path\""},
		{"{\"a\": {\"type\": \"nic\", \"path\": \"/\"}}",
		 "Device validation failed for \"a\": Invalid device option \"path\""},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/\", \"size\": \"1GiB\"}}",
		 "Device validation failed for \"a\": size: only for virtual machines: a container's disk is the "
		 "directory that source names, as large as it is"},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/x\", \"size\": \"lots\"}}",
		 "Device validation failed for \"a\": size: a size such as 10GiB, not \"lots\""},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/x\", \"pool\": \"p\"}}",
		 "Device validation failed for \"a\": pool: only for the root disk (path=/)"},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"x\"}}",
		 "Device validation failed for \"a\": path: an absolute path without \"..\", not \"x\""},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/x/..\"}}",
		 "Device validation failed for \"a\": path: an absolute path without \"..\", not \"/x/..\""},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/../x\"}}",
		 "Device validation failed for \"a\": path: an absolute path without \"..\", not \"/../x\""},
		{"{\"a\": {\"type\": \"disk\", \"path\": \"/..x/y../\"}}", NULL},
		{"{\"a\": {\"type\": \"disk\", \"source\": \"x\"}}",
		 "Device validation failed for \"a\": source: an absolute path, not \"x\""},
		{"{\"a\": {\"type\": \"disk\", \"readonly\": \"ro\"}}",
		 "Device validation failed for \"a\": readonly: true or false, not \"ro\""},
		{"{\"r\": {\"type\": \"disk\", \"path\": \"/\"}, \"a\": {\"type\": \"disk\", \"path\": \"//\"}}",
		 "Device validation failed for \"a\": path: \"r\" is the root disk already"},
		{"{\"a\": {\"type\": \"nic\", \"nictype\": \"ovn\"}}",
		 "Device validation failed for \"a\": nictype: one of bridged, macvlan, physical, not \"ovn\""},
		{"{\"a\": {\"type\": \"nic\", \"hwaddr\": \"00:16:3e:00:ab\"}}",
		 "Device validation failed for \"a\": hwaddr: an address such as 00:16:3e:12:34:56, not "
		 "\"00:16:3e:00:ab\""},
		{"{\"a\": {\"type\": \"nic\", \"hwaddr\": \"00:16:3e:00:ab:0g\"}}",
		 "Device validation failed for \"a\": hwaddr: an address such as 00:16:3e:12:34:56, not "
		 "\"00:16:3e:00:ab:0g\""},
		{"{\"a\": {\"type\": \"nic\", \"mtu\": \"67\"}}",
		 "Device validation failed for \"a\": mtu: a number from 68 to 65535, not \"67\""},
		{"{\"a\": {\"type\": \"nic\", \"mtu\": \"65536\"}}",
		 "Device validation failed for \"a\": mtu: a number from 68 to 65535, not \"65536\""},
		{"{\"a\": {\"type\": \"nic\", \"mtu\": \"1400x\"}}",
		 "Device validation failed for \"a\": mtu: a number from 68 to 65535, not \"1400x\""},
		{"{\"a\": {\"type\": \"nic\", \"name\": \"sixteen-letters-\"}}",
		 "Device validation failed for \"a\": name: the name of a network interface, not \"sixteen-letters-\""},
		{"{\"a\": {\"type\": \"nic\", \"parent\": \"a/b\"}}",
		 "Device validation failed for \"a\": parent: the name of a network interface, not \"a/b\""},
		{"[]", "devices: must be an object of objects"},
		{"null", "devices: must be an object of objects"},
	};

	check_documents(config_check_devices, documents, sizeof(documents) / sizeof(documents[0]));
	assert_int_equal(config_check_devices(VM, NULL, NULL), -EINVAL);
}

/* A machine's disk has a size; a container's is a directory. */
static void test_check_disk_of_machine(void **state)
{
	json_auto_t *devices = json_pack("{s:{s:s, s:s, s:s}}", "root", "type", "disk", "path", "/", "size", "1GiB");

	assert_int_equal(config_check_devices(VM, devices, NULL), 0);
	assert_int_equal(config_check_devices(CT, devices, NULL), -EINVAL);
}

/* A key as long as a request may carry: the reason is cut, not overrun. */
static void test_long_key(void **state)
{
	char key[4096];
	json_auto_t *config = json_object();
	struct error error = {0};

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	json_object_set_new(config, key, json_string(""));
	assert_int_equal(config_check(CT, config, &error), -EINVAL);
	assert_int_equal(strlen(error.text), ERROR_TEXT_MAX - 1);
}

static void test_get(void **state)
{
	json_auto_t *config = json_pack("{s:s, s:s, s:i}", "a", "1", "b", "", "c", 3);

	assert_string_equal(value_get(config, "a", "x"), "1");
	assert_string_equal(value_get(config, "b", "x"), "x");
	assert_string_equal(value_get(config, "c", "x"), "x");
	assert_string_equal(value_get(config, "d", "x"), "x");
	assert_null(value_get(config, "d", NULL));
	assert_null(value_get(NULL, "a", NULL));
}

static void test_true(void **state)
{
	static const char *const truths[] = {"true", "1", "yes", "on", "TRUE", "Yes", "oN"};
	static const char *const others[] = {"", "false", "0", "no", "off", "2", "t", "true ", "y"};
	json_auto_t *config = json_object();

	assert_false(value_true(config, "a"));
	for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++) {
		json_object_set_new(config, "a", json_string(truths[i]));
		assert_true(value_true(config, "a"));
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		json_object_set_new(config, "a", json_string(others[i]));
		assert_false(value_true(config, "a"));
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
		{"0", 0},
		{"4096", 4096},
		{"007", 7},
		{"1B", 1},
		{"12 bytes", 12},
		{"1kB", 1000},
		{"64KiB", 65536},
		{"1MB", 1000000},
		{"1MiB", 1048576},
		{"2GB", UINT64_C(2000000000)},
		{"2GiB", UINT64_C(2147483648)},
		{"3TB", UINT64_C(3000000000000)},
		{"3TiB", UINT64_C(3298534883328)},
		{"1PB", UINT64_C(1000000000000000)},
		{"1PiB", UINT64_C(1125899906842624)},
		{"18EB", UINT64_C(18000000000000000000)},
		{"15EiB", UINT64_C(17293822569102704640)},
		{"18446744073709551615", UINT64_MAX},
	};
	static const char *const refused[] = {
		"",
		"x",
		"MiB",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1 MiB",
		"1.5MiB",
		"0x1",
		"1mib",
		"1MIB",
		"1M",
		"1K",
		"1KB",
		"1kiB",
		"1MiBs",
		"1bytes",
		"1e3",
		"16EiB",
		"19EB",
		"1\n",
		"1,",
		"1MiB ",
		"18446744073709551616",
		"99999999999999999999999999999999999B",
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t bytes = 1;

		if (size_parse(sizes[i].text, &bytes) != 0)
			fail_msg("%s is refused", sizes[i].text);
		assert_int_equal(bytes, sizes[i].bytes);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		uint64_t bytes;

		if (size_parse(refused[i], &bytes) != -EINVAL)
			fail_msg("%s is %" PRIu64, refused[i], bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),         cmocka_unit_test(test_check_whole),
		cmocka_unit_test(test_check_devices), cmocka_unit_test(test_check_disk_of_machine),
		cmocka_unit_test(test_long_key),      cmocka_unit_test(test_get),
		cmocka_unit_test(test_true),          cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
