// SPDX-License-Identifier: Apache-2.0
#include "instances/driver.h"

static const struct driver *const drivers[] = {&driver_process};

const struct driver *driver_find(const struct store_row *row)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (drivers[i]->serves(row))
			return drivers[i];
	return NULL;
}
