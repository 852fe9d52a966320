// SPDX-License-Identifier: Apache-2.0
#include "instances/driver_serial.h"
#include "instances/devices.h"
#include "instances/driver.h"
#include "instances/value.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPEED_DIGITS 8

int driver_serial_parse_speed(const char *text, struct console_serial *serial)
{
	size_t digits = strspn(text, "0123456789");
	const char *frame = text[digits] ? text + digits : ",8n1";
	int parity;

	if (digits == 0 || digits > SPEED_DIGITS || strlen(frame) != 4)
		return -EINVAL;
	parity = tolower((unsigned char)frame[2]);
	if (frame[0] != ',' || !strchr("5678", frame[1]) || !strchr("neo", parity) || !strchr("12", frame[3]))
		return -EINVAL;
	serial->speed = (uint32_t)strtoul(text, NULL, 10);
	serial->data_bits = (uint8_t)(frame[1] - '0');
	serial->parity = (char)parity;
	serial->stop_bits = (uint8_t)(frame[3] - '0');
	return serial->speed > 0 ? 0 : -EINVAL;
}

int driver_serial_parse_flow(const char *text, enum serial_flow *flow)
{
	static const char *const names[SERIAL_FLOWS] = {
		[SERIAL_FLOW_NONE] = "none", [SERIAL_FLOW_RTSCTS] = "rtscts", [SERIAL_FLOW_XONXOFF] = "xonxoff"};

	for (int i = 0; i < SERIAL_FLOWS; i++) {
		if (strcmp(names[i], text) == 0) {
			*flow = (enum serial_flow)i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool serial_serves(const struct store_row *row)
{
	return row->type == INSTANCE_CONTAINER && !row->lxcpath && value_get(row->config, "serial.device", NULL);
}

static int serial_check_row(const struct store_row *row, struct error *error)
{
	static const char *const others[] = {"limits.cpu",        "limits.memory",      "process.command",
					     "process.directory", "process.restart",    "process.user",
					     "raw.lxc",           "security.privileged"};
	const char *name;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (value_get(row->config, others[i], NULL))
			return error_set(error, -EINVAL, "%s: not for serial devices (serial.device)", others[i]);
	if (devices_root(row->devices, &name) && devices_rootfs(row->devices))
		return error_set(error, -EINVAL,
				 "serial.device: device \"%s\" has the root of a container already, and an instance "
				 "is one or the other",
				 name);
	return 0;
}

static int serial_prepare(const struct store_row *row, const struct driver_context *context,
			  struct console_target *target, struct error *error)
{
	struct console_serial serial = {.device = value_get(row->config, "serial.device", "")};
	const char *speed = value_get(row->config, "serial.speed", "115200");
	const char *flow = value_get(row->config, "serial.flow", "none");
	int r;

	if (driver_serial_parse_speed(speed, &serial) < 0)
		return error_set(error, -EINVAL, "serial.speed: not a speed: %s", speed);
	if (driver_serial_parse_flow(flow, &serial.flow) < 0)
		return error_set(error, -EINVAL, "serial.flow: not a flow control: %s", flow);
	r = serial_check(serial.device, error);
	return r < 0 ? r : pack_serial(&serial, target, error);
}

const struct driver driver_serial = {
	.name = "serial",
	.serves = serial_serves,
	.check = serial_check_row,
	.prepare = serial_prepare,
};
