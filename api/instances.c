// SPDX-License-Identifier: Apache-2.0
#include "api/body.h"
#include "api/filter.h"
#include "api/handlers.h"
#include "api/render.h"
#include "instances/instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Reading instances: GET of the collection and of one. */

bool project_exists(const struct request *request)
{
	const char *project = request_query(request, "project");

	return !project || !*project || strcmp(project, "default") == 0;
}

/* Whether an instance is seen through the collection under which the request came. */
static bool in_collection(const struct instance *instance, const char *collection)
{
	if (strcmp(collection, "/1.0/containers") == 0)
		return instance->row.type == INSTANCE_CONTAINER;
	if (strcmp(collection, "/1.0/virtual-machines") == 0)
		return instance->row.type == INSTANCE_VIRTUAL_MACHINE;
	return true;
}

int find_instance(struct api *api, struct request *request, struct instance **instance, struct error *error)
{
	const char *name = request->parameters[0];

	if (strchr(name, '/')) /* a snapshot's name */
		return error_set(error, -EINVAL, "Invalid instance name");
	*instance = project_exists(request) ? instances_find_now(api->instances, name) : NULL;
	if (!*instance || !in_collection(*instance, collection_of(request)))
		return error_set(error, -ENOENT, "Instance not found");
	return 0;
}

/* What GET of the collection is asked to show. */
struct listing {
	const char *collection;
	unsigned int recursion;
	const char *type; /* "container", "virtual-machine", or NULL for both */
	struct filter *filter;
};

static int parse_listing(const struct request *request, struct listing *listing, struct error *error)
{
	const char *all = request_query(request, "all-projects"), *project = request_query(request, "project");
	const char *type = request_query(request, "instance-type"), *filter = request_query(request, "filter");

	*listing = (struct listing){.collection = collection_of(request), .recursion = request_recursion(request)};
	if (all && strcmp(all, "true") == 0 && project && *project)
		return error_set(error, -EINVAL, "Cannot specify a project when requesting all projects");
	if (type && *type) {
		if (strcmp(type, "container") != 0 && strcmp(type, "virtual-machine") != 0)
			return error_set(error, -EIO, "Invalid instance type"); /* LXD says 500 */
		listing->type = type;
	}
	if (filter_create(&listing->filter, filter ? filter : "", error) < 0)
		return -EIO; /* and here */
	return 0;
}

/* Adds one instance to the answer, if it is wanted. */
static int list_one(const struct instance *instance, const struct listing *listing, json_t *list)
{
	json_auto_t *item = NULL;
	char url[128];
	int r;

	if (!in_collection(instance, listing->collection) ||
	    (listing->type && strcmp(listing->type, instance_type_name(instance->row.type)) != 0))
		return 0;
	item = listing->recursion == 2 ? render_full(instance) : render_instance(instance);
	if (!item)
		return -ENOMEM;
	r = filter_matches(listing->filter, item);
	if (r <= 0)
		return r;
	if (listing->recursion > 0)
		return json_array_append(list, item) < 0 ? -ENOMEM : 0;
	snprintf(url, sizeof(url), "%s/%s", listing->collection, instance->row.name);
	return json_array_append_new(list, json_string(url)) < 0 ? -ENOMEM : 0;
}

int instances_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	const struct instance *instance;
	struct listing listing;
	json_t *list;
	int r;

	r = parse_listing(request, &listing, error);
	if (r < 0)
		return r;
	list = json_array();
	instances_look(api->instances);
	if (project_exists(request)) {
		list_for_each (instance, &api->instances->all, link)
			if (r == 0)
				r = list_one(instance, &listing, list);
	}
	filter_destroy(listing.filter);
	if (r < 0) {
		json_decref(list);
		return r == -E2BIG ? error_set(error, r, "Invalid filter: takes too long to match") : r;
	}
	return response_sync(response, list);
}

int instance_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	char etag[ETAG_LENGTH + 1];
	int r;

	r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = render_etag(instance, etag);
	if (r < 0)
		return r;
	return response_sync_etag(response,
				  request_recursion(request) ? render_full(instance) : render_instance(instance), etag);
}
