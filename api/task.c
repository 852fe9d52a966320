// SPDX-License-Identifier: Apache-2.0
#include "api/task.h"

#include "instances/instance.h"
#include "operations/operation.h"

int task_create(struct api *api, const struct request *request, const char *description, const char *instance,
		bool is_container, struct operation **operation, struct error *error)
{
	return operation_create(operation, api->operations,
				&(struct operation_config){
					.class = OPERATION_TASK,
					.description = description,
					.instance = instance,
					.is_container = is_container,
					.requestor = &request->identity,
				},
				error);
}

int task_answer(struct operation *operation, const struct request *request, struct response *response)
{
	int r;

	operation_start(operation);
	r = response_async(response, operation_json(operation, &request->identity));
	if (r < 0)
		operation_finish(operation, OPERATION_FAILURE, "Cannot allocate memory");
	return r;
}

int task_begin(struct api *api, const struct request *request, struct response *response, const char *description,
	       const struct instance *instance, struct operation **operation, struct error *error)
{
	int r = task_create(api, request, description, instance->row.name, instance->row.type == INSTANCE_CONTAINER,
			    operation, error);

	return r < 0 ? r : task_answer(*operation, request, response);
}

void task_finish(struct operation *operation, int code, struct error *error)
{
	error->code = code;
	operation_finish(operation, code ? OPERATION_FAILURE : OPERATION_SUCCESS, code ? error_text(error) : NULL);
}
