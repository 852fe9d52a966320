// SPDX-License-Identifier: Apache-2.0
/* The values of serial.speed and serial.flow. */
#pragma once

#include "pty/targets/serial.h"

/* "115200" or "9600,7e1": sets speed, data_bits, parity (n, e, o) and stop_bits; 8n1 where there is only a speed.
 * -EINVAL. */
int driver_serial_parse_speed(const char *text, struct console_serial *serial);

/* "none", "rtscts", "xonxoff". -EINVAL. */
int driver_serial_parse_flow(const char *text, enum serial_flow *flow);
