// SPDX-License-Identifier: Apache-2.0
#include "bridge/control.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control control = control_parse(data, size);

	if (control.command == CONTROL_WINDOW_RESIZE && (control.width == 0 || control.height == 0))
		abort();
	return 0;
}
