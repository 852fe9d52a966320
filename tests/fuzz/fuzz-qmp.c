// SPDX-License-Identifier: Apache-2.0
/* What a keeper and the daemon hear from QEMU. */
#include "bridge/qmp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer buffer = {0};
	struct qmp_message message;

	if (buffer_append(&buffer, data, size, 2 * QMP_LINE_MAX) < 0)
		return 0;
	while (qmp_take(&buffer, &message) == 0) {
		if (!message.name || !message.document || message.kind > QMP_EVENT ||
		    (message.kind == QMP_RETURN && !message.data))
			abort();
		qmp_finish(&message);
	}
	buffer_finish(&buffer);
	return 0;
}
