// SPDX-License-Identifier: Apache-2.0
#include "instances/driver.h"

static const struct driver *const drivers[] = {&driver_serial, &driver_lxc, &driver_process, &driver_qemu};

const struct driver *driver_find(const struct store_row *row)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (drivers[i]->serves(row))
			return drivers[i];
	return NULL;
}

int driver_check(const struct store_row *row, struct error *error)
{
	const struct driver *driver = driver_find(row);

	return driver && driver->check ? driver->check(row, error) : 0;
}
