// SPDX-License-Identifier: Apache-2.0
/* Operations of class task, as handlers begin them. */
#pragma once

#include "api/api.h"

struct instance;
struct operation;

/*
 * Makes an operation that is not running yet. `description` is static; `instance` may be NULL: operation_add_instance()
 * says more. -EAGAIN, -ENOMEM.
 */
int task_create(struct api *api, const struct request *request, const char *description, const char *instance,
		bool is_container, struct operation **operation, struct error *error);

/*
 * Starts it and answers the request with it, before the work is begun: LXD's 202 always says Running. The caller then
 * does the work and calls task_finish(). -ENOMEM: the operation has failed.
 */
int task_answer(struct operation *operation, const struct request *request, struct response *response);

/* The two in one, for an instance that is there. */
int task_begin(struct api *api, const struct request *request, struct response *response, const char *description,
	       const struct instance *instance, struct operation **operation, struct error *error);

/* Ends it: with `code` 0 as a success, otherwise as a failure for the reason in `error`. */
void task_finish(struct operation *operation, int code, struct error *error);
