// SPDX-License-Identifier: Apache-2.0
/*
 * An instance: one byte for its type, then its config and its devices as JSON, with a NUL between. What the checks let
 * pass becomes what a keeper is told: a program, a serial device, liblxc's items, QEMU's words; none gives the console
 * away.
 */
#include "instances/config.h"
#include "instances/driver.h"
#include "instances/driver_lxc.h"
#include "instances/driver_qemu.h"
#include "instances/raw_qemu.h"
#include "instances/value.h"
#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"

#include <string.h>

#define cleanup_items __attribute__((cleanup(items_finish)))

/* They are set one by one, so that a value may have several lines; a key may not. */
static bool is_item(const char *item)
{
	size_t key = strcspn(item, "=\n");

	return strncmp(item, "lxc.", 4) == 0 && item[key] == '=';
}

/* What sets the console back is in it where raw.lxc includes a file, and the console's own path is told last (pty/). */
static bool leaves_console(const char *item)
{
	const char *value = strchr(item, '=') + 1;

	if (strncmp(item, "lxc.console", 11) != 0 || (item[11] != '.' && item[11] != '='))
		return true;
	return *value == '\0' || strcmp(value, "0") == 0;
}

static void check_container(const struct store_row *row)
{
	static const struct driver_lxc_host host = {
		.memory = CGROUP_V2, .cpuset = CGROUP_V1, .devices = CGROUP_V2, .memory_total = UINT64_C(4) << 30};
	cleanup_items struct items items = {0};
	struct error error = {0};
	int r = driver_lxc_items(row, &host, &items, &error);

	require((r < 0) == (error.text[0] != '\0'));
	for (size_t i = 0; r == 0 && i < items.count; i++)
		require(is_item(items.list[i]) && leaves_console(items.list[i]));
}

static size_t count_words(const struct items *items, const char *word)
{
	size_t count = 0;

	for (size_t i = 0; i < items->count; i++)
		count += strcmp(items->list[i], word) == 0;
	return count;
}

/* What gives the console away is not in it, and what confines QEMU is. */
static void check_machine(const struct store_row *row)
{
	static const struct driver_qemu_host host = {.qemu = "/bin/qemu",
						     .directory = "/d",
						     .memory_total = UINT64_C(4) << 30,
						     .spice = true,
						     .running = true};
	cleanup_items struct items arguments = {0};
	struct error error = {0};
	int r = driver_qemu_arguments(row, &host, &arguments, &error);

	require((r < 0) == (error.text[0] != '\0'));
	if (r < 0)
		return;
	require(count_words(&arguments, "-sandbox") >= 1 && count_words(&arguments, "-nodefaults") >= 1);
	require(!raw_qemu_has(arguments.list + 1, "serial") && !raw_qemu_has(arguments.list + 1, "daemonize"));
}

/* What is packed is unpacked. */
static void check_packed(const struct console_target *target)
{
	struct console_program *program = NULL;
	struct console_serial *serial = NULL;

	if (target->kind == CONSOLE_PROGRAM) {
		require(unpack_program(target->data, target->length, &program) == 0);
		require(program->argv[0] && program->argv[0][0] && program->directory[0] == '/');
		for (char *const *entry = program->environment; *entry; entry++)
			require(strchr(*entry, '='));
	} else {
		require(unpack_serial(target->data, target->length, &serial) == 0 && serial->device[0] == '/');
	}
	free(program);
	free(serial);
}

static void check_prepared(const struct driver *driver, const struct store_row *row)
{
	static const struct driver_context context = {.directory = "/d"};
	cleanup_target struct console_target target = {0};
	struct error error = {0};
	int r = driver->prepare(row, &context, &target, &error);

	require((r < 0) == (error.text[0] != '\0'));
	if (r == 0)
		check_packed(&target);
}

static void check_row(const struct store_row *row)
{
	const struct driver *driver = driver_find(row);
	struct error error = {0};
	int r = driver_check(row, &error);

	require((r < 0) == (error.text[0] != '\0'));
	if (r < 0 || !driver)
		return;
	if (driver == &driver_lxc)
		check_container(row);
	else if (driver == &driver_qemu)
		check_machine(row);
	else
		check_prepared(driver, row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "i";
	cleanup_free char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;
	size_t length = text ? strlen(text) + 2 : 0;
	cleanup_free char *rest = length < size ? strndup((const char *)data + length, size - length) : NULL;
	json_auto_t *config = text ? json_loads(text, 0, NULL) : NULL,
		    *devices = rest ? json_loads(rest, 0, NULL) : json_object();
	struct store_row row = {.name = name, .config = config, .devices = devices, .created_at = 1};

	if (!text)
		return 0;
	row.type = data[0] & 1 ? INSTANCE_VIRTUAL_MACHINE : INSTANCE_CONTAINER;
	if (config_check(row.type, config, NULL) == 0 && config_check_devices(row.type, devices, NULL) == 0)
		check_row(&row);
	return 0;
}
