// SPDX-License-Identifier: Apache-2.0
/* A SPICE client's first words: what they mean does not depend on how they are cut. */
#include "spice/link.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spice_link whole = {0}, cut = {0};
	int type, again = -EAGAIN;

	if (size == 0)
		return 0;
	type = spice_link_feed(&whole, data, size);
	if (type == -EAGAIN ? size >= SPICE_LINK_SIZE : type != -EBADMSG && (type < 1 || type > UINT8_MAX))
		abort();
	for (size_t i = 0; i < size && again == -EAGAIN; i++)
		again = spice_link_feed(&cut, data + i, 1);
	if (again != type)
		abort();
	return 0;
}
