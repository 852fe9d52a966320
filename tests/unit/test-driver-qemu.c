// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_qemu.h"

#include "instances/driver.h"
#include "instances/raw_qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOT(rest) "{\"root\": {\"type\": \"disk\", \"path\": \"/\"" rest "}}"
#define CREATED 0x123456789abcdef0
#define MIB (1024 * 1024)

/* A machine of 4 GiB with SPICE, whose daemon is an ordinary user. */
static const struct driver_qemu_host machine = {
	.qemu = "/bin/qemu",
	.directory = "/d",
	.memory_total = UINT64_C(4) << 30,
	.spice = true,
};

static struct store_row make_row(const char *config, const char *devices)
{
	static char name[] = "v1";
	struct store_row row = {.name = name,
				.type = INSTANCE_VIRTUAL_MACHINE,
				.created_at = CREATED,
				.config = json_loads(config, 0, NULL)};

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

/* --- the command line --- */

static void check_whole(const char *config, const char *devices, const struct driver_qemu_host *host,
			const char *const *expected)
{
	struct store_row row = make_row(config, devices);
	struct items arguments = {0};
	struct error error = {0};

	if (driver_qemu_arguments(&row, host, &arguments, &error) != 0)
		fail_msg("%s", error_text(&error));
	for (size_t i = 0; i < arguments.count && expected[i]; i++)
		assert_string_equal(arguments.list[i], expected[i]);
	for (size_t i = 0; i <= arguments.count; i++)
		if (!arguments.list[i] != !expected[i])
			fail_msg("word %zu: %s, not %s", i, arguments.list[i], expected[i]);
	items_finish(&arguments);
	row_finish(&row);
}

/* What follows the one `option`, perhaps the one whose value begins with `begin`. NULL `expected`: there is none. */
static void check_value(const char *config, const char *devices, const struct driver_qemu_host *host,
			const char *option, const char *begin, const char *expected)
{
	struct store_row row = make_row(config, devices);
	struct items arguments = {0};
	const char *found = NULL;
	struct error error = {0};

	if (driver_qemu_arguments(&row, host, &arguments, &error) != 0)
		fail_msg("%s", error_text(&error));
	for (size_t i = 0; i + 1 < arguments.count; i++) {
		if (strcmp(arguments.list[i], option) != 0 || strncmp(arguments.list[i + 1], begin, strlen(begin)) != 0)
			continue;
		assert_null(found);
		found = arguments.list[i + 1];
	}
	if (!found != !expected)
		fail_msg("%s %s: %s, not %s", config, option, found, expected);
	if (expected)
		assert_string_equal(found, expected);
	items_finish(&arguments);
	row_finish(&row);
}

static void check_refused(const char *config, const char *devices, const char *reason)
{
	struct store_row row = make_row(config, devices);
	struct items arguments = {0};
	struct error error = {0};

	assert_true(driver_qemu_arguments(&row, &machine, &arguments, &error) < 0);
	assert_string_equal(error.text, reason);
	items_finish(&arguments);
	row_finish(&row);
}

static void test_diskless(void **state)
{
	static const char *const expected[] = {
		"/bin/qemu",
		"-nodefaults",
		"-no-user-config",
		"-name",
		"v1",
		"-uuid",
		"12345678-9abc-8def-8000-000000000000",
		"-M",
		"q35",
		"-accel",
		"auto",
		"-cpu",
		"max",
		"-m",
		"1024M",
		"-smp",
		"1",
		"-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-display",
		"none",
		"-vga",
		"std",
		"-device",
		"virtio-tablet-pci",
		"-device",
		"virtio-rng-pci",
		NULL,
	};
	struct driver_qemu_host host = machine;

	host.spice = false;
	check_whole("{}", "{}", &host, expected);
	check_whole("{\"user.a\": \"b\"}", ROOT(""), &host, expected);
}

static void test_everything(void **state)
{
	static const char *const expected[] = {
		"/bin/qemu",
		"-nodefaults",
		"-no-user-config",
		"-name",
		"v1",
		"-uuid",
		"12345678-9abc-8def-8000-000000000000",
		"-M",
		"q35",
		"-accel",
		"tcg",
		"-cpu",
		"max",
		"-m",
		"128M",
		"-smp",
		"2",
		"-sandbox",
		"on,obsolete=deny,elevateprivileges=allow,spawn=deny,resourcecontrol=deny",
		"-runas",
		"nobody",
		"-display",
		"none",
		"-vga",
		"std",
		"-device",
		"virtio-tablet-pci",
		"-device",
		"virtio-rng-pci",
		"-spice",
		"unix=on,addr=spice,disable-ticketing=on",
		"-device",
		"virtio-serial-pci",
		"-chardev",
		"spicevmc,id=vdagent,name=vdagent",
		"-device",
		"virtserialport,chardev=vdagent,name=com.redhat.spice.0",
		"-blockdev",
		"{\"driver\":\"raw\",\"node-name\":\"disk0\",\"read-only\":false,\"discard\":\"unmap\","
		"\"file\":{\"driver\":\"file\",\"filename\":\"/d/consoles/v1/root.img\"}}",
		"-device",
		"{\"driver\":\"virtio-blk-pci\",\"drive\":\"disk0\",\"serial\":\"root\",\"bootindex\":0}",
		"-M",
		"pc",
		"-append",
		"a b",
		NULL,
	};
	struct driver_qemu_host host = machine;

	host.user = "nobody";
	check_whole("{\"limits.memory\": \"128MiB\", \"limits.cpu\": \"2\", \"consoled.accel\": \"tcg\", "
		    "\"raw.qemu\": \"-M pc -append 'a b'\"}",
		    ROOT(", \"size\": \"64MiB\""), &host, expected);
}

static void test_limits(void **state)
{
	check_value("{\"limits.memory\": \"25%\"}", "{}", &machine, "-m", "", "1023M"); /* 1% is rounded down first */
	check_value("{\"limits.memory\": \"3MB\"}", "{}", &machine, "-m", "", "2M");
	check_value("{\"limits.cpu\": \"300\"}", "{}", &machine, "-smp", "", "300");
	check_refused("{\"limits.memory\": \"1048575\"}", "{}",
		      "limits.memory: a virtual machine needs 1MiB at least, not \"1048575\"");
	check_refused("{\"limits.cpu\": \"0-1\"}", "{}",
		      "limits.cpu: a virtual machine has a number of CPUs, not \"0-1\"");
}

/* What raw.qemu says of who QEMU is stands alone. */
static void test_confinement(void **state)
{
	struct driver_qemu_host host = machine;

	check_value("{\"raw.qemu\": \"-sandbox off\"}", "{}", &host, "-sandbox", "", "off");
	check_value("{\"raw.qemu\": \"-runas kvm\"}", "{}", &host, "-sandbox", "",
		    "on,obsolete=deny,elevateprivileges=allow,spawn=deny,resourcecontrol=deny");
	check_value("{}", "{}", &host, "-runas", "", NULL);
	host.user = "nobody";
	check_value("{}", "{}", &host, "-runas", "", "nobody");
	check_value("{\"raw.qemu\": \"--runas kvm\"}", "{}", &host, "-runas", "", NULL);
}

/* --- disks --- */

static char *place;

static int make_place(void **state)
{
	static char template[] = "/tmp/consoled-qemu-XXXXXX";

	place = mkdtemp(template);
	return place ? 0 : -1;
}

static int remove_place(void **state)
{
	return rmdir(place);
}

static void make_file(const char *path, const void *data, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), length);
	close(fd);
}

/* The header of a qcow2, as long as it needs to be. */
struct header {
	uint8_t bytes[104];
};

static struct header make_header(uint8_t version, uint8_t backing, uint8_t incompatible)
{
	struct header header = {.bytes = {'Q', 'F', 'I', 0xfb, 0, 0, 0, version}};

	header.bytes[15] = backing;
	header.bytes[79] = incompatible;
	return header;
}

static void test_examine(void **state)
{
	static const struct {
		const char *name;
		uint8_t version, backing, incompatible;
		int result;
		enum disk_format format;
	} cases[] = {
		{"a.img", 2, 0, 0, 0, DISK_QCOW2},
		{"a.img", 2, 0, 4, 0, DISK_QCOW2}, /* there were no features yet */
		{"a.img", 3, 0, 3, 0, DISK_QCOW2},
		{"a.img", 3, 0, 4, -EINVAL, 0},
		{"a.img", 3, 1, 0, -EINVAL, 0},
		{"a.qcow2", 3, 0, 0, 0, DISK_QCOW2},
		{"a.qcow2", 3, 0, 4, 0, DISK_QCOW2_BACKED},
		{"a.qcow2", 2, 1, 0, 0, DISK_QCOW2_BACKED},
	};
	char path[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct header header = make_header(cases[i].version, cases[i].backing, cases[i].incompatible);
		enum disk_format format;
		struct error error = {0};
		bool block = true;
		int r;

		snprintf(path, sizeof(path), "%s/%s", place, cases[i].name);
		make_file(path, &header, sizeof(header));
		r = disk_examine(path, &format, &block, &error);
		if (r != cases[i].result)
			fail_msg("case %zu: %d, %s", i, r, error_text(&error));
		assert_false(block);
		if (r == 0)
			assert_int_equal(format, cases[i].format);
		else
			assert_non_null(strstr(error.text, "/a.img: its header names other files"));
		unlink(path);
	}
}

static void test_examine_others(void **state)
{
	struct header header = make_header(2, 0, 0);
	enum disk_format format;
	struct error error = {0};
	char path[64];
	bool block;

	snprintf(path, sizeof(path), "%s/a.qcow2", place);
	make_file(path, &header, 4); /* too short to be one */
	assert_int_equal(disk_examine(path, &format, &block, NULL), 0);
	assert_int_equal(format, DISK_RAW);
	unlink(path);
	assert_int_equal(disk_examine(path, &format, &block, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/a.qcow2: No such file or directory"));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(disk_examine(path, &format, &block, NULL), -EINVAL); /* and has not waited for a writer */
	unlink(path);
	assert_int_equal(disk_examine(place, &format, &block, &error), -EINVAL);
	assert_non_null(strstr(error.text, ": a virtual machine's disk is a file or a block device"));
}

static void test_make(void **state)
{
	struct error error = {0};
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "%s/root.img", place);
	assert_int_equal(disk_make(path, 64 * MIB, NULL), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 64 * MIB);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_true(status.st_blocks * 512 < MIB);
	assert_int_equal(disk_make(path, 64 * MIB, NULL), 0);
	assert_int_equal(disk_make(path, 64 * MIB + 1, NULL), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 64 * MIB + 512);
	assert_int_equal(disk_make(path, 64 * MIB, &error), -EINVAL);
	assert_string_equal(error.text, "the disk has 67109376 bytes already, and is not made smaller");
	assert_int_equal(disk_make(path, UINT64_MAX, NULL), -EFBIG);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 64 * MIB + 512);
	unlink(path);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_int_equal(disk_make(path, MIB, NULL), -ELOOP);
	unlink(path);
}

static void test_sources(void **state)
{
	struct header header = make_header(3, 0, 0);
	char devices[512], raw[64], qcow2[64], expected[512];
	struct driver_qemu_host host = machine;

	snprintf(raw, sizeof(raw), "%s/a,b", place);
	snprintf(qcow2, sizeof(qcow2), "%s/c.img", place);
	make_file(raw, "", 0);
	make_file(qcow2, &header, sizeof(header));
	snprintf(
		devices, sizeof(devices),
		"{\"root\": {\"type\": \"disk\", \"path\": \"/\", \"source\": \"%s\"},"
		"\"x\": {\"type\": \"disk\", \"source\": \"%s\", \"readonly\": \"true\"}, \"y\": {\"type\": \"none\"}}",
		qcow2, raw);
	snprintf(expected, sizeof(expected),
		 "{\"driver\":\"qcow2\",\"node-name\":\"disk0\",\"read-only\":false,\"discard\":\"unmap\","
		 "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"},\"backing\":null}",
		 qcow2);
	check_value("{}", devices, &host, "-blockdev", "{\"driver\":\"qcow2\"", expected);
	snprintf(expected, sizeof(expected),
		 "{\"driver\":\"raw\",\"node-name\":\"disk1\",\"read-only\":true,\"discard\":\"unmap\","
		 "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}",
		 raw);
	check_value("{}", devices, &host, "-blockdev", "{\"driver\":\"raw\"", expected);
	check_value("{}", devices, &host, "-device", "{\"driver\":\"virtio-blk-pci\",\"drive\":\"disk1\"",
		    "{\"driver\":\"virtio-blk-pci\",\"drive\":\"disk1\",\"serial\":\"x\"}");
	unlink(raw);
	unlink(qcow2);
	snprintf(expected, sizeof(expected), "Failed to start device \"root\": source: %s: No such file or directory",
		 qcow2);
	check_refused("{}", devices, expected);
	host.running = true; /* its next start, at which it may be there again */
	snprintf(expected, sizeof(expected),
		 "{\"driver\":\"raw\",\"node-name\":\"disk0\",\"read-only\":false,\"discard\":\"unmap\","
		 "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}",
		 qcow2);
	check_value("{}", devices, &host, "-blockdev", "{\"driver\":\"raw\",\"node-name\":\"disk0\"", expected);
}

/* --- what can be set --- */

static void test_raw(void **state)
{
	static const char *const fine[] = {
		"",
		"-M pc,usb=off -cpu host",
		"-chardev null,id=console2 -device isa-serial,chardev=console2",
		"-chardev socket,path=/id=console,id=x",
		"-action reboot=shutdown,panic=none",
		"-append '-S -serial'",
		"-machine xaccel=kvm",
		"-machine",
		"-",
		"--",
	};
	static const struct {
		const char *text, *reason;
	} refused[] = {
		{"-append 'a", "raw.qemu: unfinished quote: 'a"},
		{"-m 1 -serial stdio", "raw.qemu: -serial: the first serial port is the console, which is kept by "
				       "consoled; for another: -device isa-serial"},
		{"--serial none", "raw.qemu: -serial: the first serial port is the console, which is kept by consoled; "
				  "for another: -device isa-serial"},
		{"-spice port=1", "raw.qemu: -spice: consoled has the display (lxc console --type=vga)"},
		{"-display sdl", "raw.qemu: -display: consoled has the display (lxc console --type=vga)"},
		{"-chardev null,id=console", "raw.qemu: -chardev null,id=console: a chardev of that name is "
					     "consoled's own"},
		{"-chardev null,id=keeper,mux=on", "raw.qemu: -chardev null,id=keeper,mux=on: a chardev of that name "
						   "is consoled's own"},
		{"-daemonize", "raw.qemu: -daemonize: consoled looks after QEMU as its child"},
		{"'-pidfile' x", "raw.qemu: -pidfile: consoled has QEMU's pid file"},
		{"-no-shutdown", "raw.qemu: -no-shutdown: the instance's end is seen by QEMU's"},
		{"-action panic=none,shutdown=pause", "raw.qemu: -action panic=none,shutdown=pause: the instance's "
						      "end is seen by QEMU's"},
		{"-S", "raw.qemu: -S: consoled waits for the machine to run"},
		{"-M pc,accel=kvm:tcg", "raw.qemu: -M pc,accel=kvm:tcg: consoled.accel says which"},
		{"-accel kvm", "raw.qemu: -accel: consoled.accel says which"},
	};

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		struct error error = {0};
		char **words = NULL;

		if (raw_qemu_split(fine[i], &words, &error) != 0)
			fail_msg("%s: %s", fine[i], error_text(&error));
		free(words);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct error error = {0};
		char **words = NULL;

		assert_int_equal(raw_qemu_split(refused[i].text, &words, &error), -EINVAL);
		assert_string_equal(error.text, refused[i].reason);
	}
}

#define DEVICE(name) "Device validation failed for \"" name "\": "

static void test_check(void **state)
{
	static const struct {
		const char *config, *devices, *reason;
	} cases[] = {
		{"{}", "{}", NULL},
		{"{}", ROOT(""), NULL},
		{"{}", ROOT(", \"pool\": \"default\", \"size\": \"64MiB\""), NULL},
		{"{}", ROOT(", \"source\": \"/a\", \"readonly\": \"true\""), NULL},
		{"{}", "{\"x\": {\"type\": \"disk\", \"source\": \"/a\"}, \"y\": {\"type\": \"none\"}}", NULL},
		{"{\"limits.cpu\": \"4\", \"limits.memory\": \"1MiB\"}", "{}", NULL},
		{"{\"limits.memory\": \"1%\"}", "{}", NULL},
		{"{\"limits.memory\": \"1048575\"}", "{}",
		 "limits.memory: 1MiB at least for virtual machines, not \"1048575\""},
		{"{\"limits.cpu\": \"0-1\"}", "{}", "limits.cpu: a number for virtual machines, not \"0-1\""},
		{"{}", ROOT(", \"size\": \"0\""), DEVICE("root") "size: a size such as 10GiB, not \"0\""},
		{"{}", ROOT(", \"size\": \"1GiB\", \"source\": \"/a\""),
		 DEVICE("root") "size: only without source, which is as large as it is"},
		{"{}", "{\"x\": {\"type\": \"disk\"}}",
		 DEVICE("x") "source: the file or block device of this disk is missing"},
		{"{}", "{\"x\": {\"type\": \"disk\", \"source\": \"/a\", \"path\": \"/mnt\"}}",
		 DEVICE("x") "path: only for the root disk (path=/): the guest mounts the others"},
		{"{}", "{\"x\": {\"type\": \"disk\", \"source\": \"/a\", \"size\": \"1GiB\"}}",
		 DEVICE("x") "size: only for the root disk (path=/)"},
		{"{}", "{\"eth0\": {\"type\": \"nic\", \"nictype\": \"bridged\", \"parent\": \"br0\"}}",
		 DEVICE("eth0") "type: nic: only for containers: raw.qemu=\"-nic user\" gives a virtual machine a "
				"network"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct store_row row = make_row(cases[i].config, cases[i].devices);
		struct error error = {0};

		assert_true(driver_qemu.serves(&row));
		assert_int_equal(driver_qemu.check(&row, &error), cases[i].reason ? -EINVAL : 0);
		assert_string_equal(error.text, cases[i].reason ? cases[i].reason : "");
		row_finish(&row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diskless), cmocka_unit_test(test_everything),
		cmocka_unit_test(test_limits),   cmocka_unit_test(test_confinement),
		cmocka_unit_test(test_examine),  cmocka_unit_test(test_examine_others),
		cmocka_unit_test(test_make),     cmocka_unit_test(test_sources),
		cmocka_unit_test(test_raw),      cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
