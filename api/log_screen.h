// SPDX-License-Identifier: Apache-2.0
/* What a terminal that was sent a console's log shows, as text or HTML. */
#pragma once

#include "api/api.h"
#include "api/log_query.h"
#include "api/log_range.h"

struct instance;

/*
 * Defers the response: drawing takes some 20 ms for each MiB of the log, and happens in slices so that nobody else
 * waits for it. -EAGAIN: too many at once; -ENOMEM.
 */
int log_screen(struct api *api, struct instance *instance, const struct log_query *query, const struct log_range *range,
	       struct response *response, struct error *error);
