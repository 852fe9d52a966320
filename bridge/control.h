// SPDX-License-Identifier: Apache-2.0
/*
 * What clients say on a console's control socket (LXD: api.InstanceConsoleControl):
 *     {"command":"window-resize","args":{"width":"100","height":"30"},"signal":0}
 * Width and height are strings there. What is not understood is ignored, as LXD does: an old client may say more than
 * we know.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum control_command {
	CONTROL_IGNORED,
	CONTROL_LOST, /* there was no memory to read it */
	CONTROL_WINDOW_RESIZE,
};

struct control {
	enum control_command command;
	uint16_t width, height; /* columns, rows; both 1..65535 for CONTROL_WINDOW_RESIZE */
};

/*
 * Parses one message. Anything that is not a resize with two whole numbers in range, written as strings, comes back as
 * CONTROL_IGNORED; without memory CONTROL_LOST.
 */
struct control control_parse(const void *message, size_t length);
