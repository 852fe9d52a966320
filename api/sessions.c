// SPDX-License-Identifier: Apache-2.0
/* Who is attached to an instance: GET .../console/sessions, and DELETE of one. An addition of ours to LXD's API. */
#include "api/handlers.h"
#include "instances/instance.h"
#include "instances/session.h"

#include <errno.h>

int sessions_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	struct session *session;
	json_t *list;
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	list = json_array();
	list_for_each (session, &instance->sessions, link)
		if (json_array_append_new(list, session_json(session)) < 0) {
			json_decref(list);
			return -ENOMEM;
		}
	return response_sync(response, list);
}

static int find_session(struct api *api, struct request *request, struct session **session, struct error *error)
{
	struct instance *instance;
	int r = find_instance(api, request, &instance, error);

	if (r < 0)
		return r;
	*session = session_find(instance, request->parameters[1]);
	return *session ? 0 : error_set(error, -ENOENT, "Session not found");
}

int session_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct session *session;
	int r = find_session(api, request, &session, error);

	return r < 0 ? r : response_sync(response, session_json(session));
}

int session_delete(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct session *session;
	int r = find_session(api, request, &session, error);

	if (r < 0)
		return r;
	session_kick(session, &request->identity);
	return response_empty(response);
}
