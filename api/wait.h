// SPDX-License-Identifier: Apache-2.0
/*
 * GET /1.0/instances/NAME/console?wait=REGEX&timeout=SECONDS: answers when the console's output matches. What is in the
 * log already counts where the query says from where on: boot, since, tail, tail_bytes.
 */
#pragma once

#include "api/api.h"

/*
 * Defers the response. -EINVAL: a parameter cannot be, or there is nothing to wait for; -ENOENT: the instance is not
 * there, or its log knows no such boot; -EAGAIN: too many wait.
 */
int wait_get(struct api *api, struct request *request, struct response *response, struct error *error);
