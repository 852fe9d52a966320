// SPDX-License-Identifier: Apache-2.0
/*
 * The handlers behind the routes, and what they share. Each takes a matched request and either fills in the response
 * and returns 0, or returns -errno with the reason in `error`; nothing has changed then.
 */
#pragma once

#include "api/api.h"

struct instance;

typedef int (*api_handler)(struct api *api, struct request *request, struct response *response, struct error *error);

/* A row of the table of routes. */
struct route {
	const char *method;
	const char *pattern; /* "/1.0/instances/{name}/console"; {} segments go to request->parameters, in order */
	api_handler handle;
};

/* The whole table; the row after the last has no method. The aliases of /1.0/instances are not in it. */
extern const struct route api_routes[];

int root_list(struct api *api, struct request *request, struct response *response, struct error *error);
int root_get(struct api *api, struct request *request, struct response *response, struct error *error);
int root_put(struct api *api, struct request *request, struct response *response, struct error *error);
int root_patch(struct api *api, struct request *request, struct response *response, struct error *error);
int events_get(struct api *api, struct request *request, struct response *response, struct error *error);

int operations_get(struct api *api, struct request *request, struct response *response, struct error *error);
int operation_get(struct api *api, struct request *request, struct response *response, struct error *error);
int operation_delete(struct api *api, struct request *request, struct response *response, struct error *error);
int operation_wait_get(struct api *api, struct request *request, struct response *response, struct error *error);
int operation_websocket_get(struct api *api, struct request *request, struct response *response, struct error *error);

int profiles_get(struct api *api, struct request *request, struct response *response, struct error *error);
int profile_get(struct api *api, struct request *request, struct response *response, struct error *error);

int instances_get(struct api *api, struct request *request, struct response *response, struct error *error);
int instances_post(struct api *api, struct request *request, struct response *response, struct error *error);
int instances_put(struct api *api, struct request *request, struct response *response, struct error *error);
int instance_get(struct api *api, struct request *request, struct response *response, struct error *error);
int instance_put(struct api *api, struct request *request, struct response *response, struct error *error);
int instance_patch(struct api *api, struct request *request, struct response *response, struct error *error);
int instance_post(struct api *api, struct request *request, struct response *response, struct error *error);
int instance_delete(struct api *api, struct request *request, struct response *response, struct error *error);
int state_get(struct api *api, struct request *request, struct response *response, struct error *error);
int state_put(struct api *api, struct request *request, struct response *response, struct error *error);
int console_get(struct api *api, struct request *request, struct response *response, struct error *error);
int console_post(struct api *api, struct request *request, struct response *response, struct error *error);
int console_delete(struct api *api, struct request *request, struct response *response, struct error *error);
int console_input_post(struct api *api, struct request *request, struct response *response, struct error *error);
int console_history_get(struct api *api, struct request *request, struct response *response, struct error *error);
int console_boots_get(struct api *api, struct request *request, struct response *response, struct error *error);
int sessions_get(struct api *api, struct request *request, struct response *response, struct error *error);
int session_get(struct api *api, struct request *request, struct response *response, struct error *error);
int session_delete(struct api *api, struct request *request, struct response *response, struct error *error);
int log_get(struct api *api, struct request *request, struct response *response, struct error *error);
int logs_get(struct api *api, struct request *request, struct response *response, struct error *error);

/* Whether a handshake for /1.0/events or an operation's socket may be upgraded; consumes `fd` then and only then. */
bool events_upgrade(struct api *api, struct request *request, int fd);
bool operation_upgrade(struct api *api, struct request *request, int fd);

/*
 * The instance that the path's first parameter names, as seen through the collection of the path (a container is not
 * found under /1.0/virtual-machines) and the project. -EINVAL `Invalid instance name`, -ENOENT `Instance not found`.
 */
int find_instance(struct api *api, struct request *request, struct instance **instance, struct error *error);

/* Whether the project of the query, if it names one, is the only one that there is. */
bool project_exists(const struct request *request);

/*
 * Whether an instance may have these profiles, an array of strings or NULL: `default`, or none. Otherwise in LXD's
 * words; -ENOENT for one that does not exist.
 */
int check_profiles(const json_t *profiles, struct error *error);

/* "/1.0/instances", or the alias under which the request came. */
const char *collection_of(const struct request *request);
