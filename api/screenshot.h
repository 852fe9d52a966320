// SPDX-License-Identifier: Apache-2.0
/* GET /1.0/instances/NAME/console?type=vga of a virtual machine: its screen, as Incus gives it. */
#pragma once

#include "api/api.h"

struct instance;

/*
 * Defers the response; it becomes a PNG, or an error in words, within MONITOR_TIMEOUT_MS. -EINVAL: it does not run;
 * -EAGAIN: too many at once.
 */
int screenshot_get(struct api *api, const struct instance *instance, const struct request *request,
		   struct response *response, struct error *error);
