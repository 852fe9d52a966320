// SPDX-License-Identifier: Apache-2.0
#include "instances/instance.h"
#include "api/body.h"
#include "api/handlers.h"
#include "api/render.h"
#include "api/task.h"
#include "instances/config.h"
#include "instances/driver.h"
#include "operations/operation.h"
#include "util/json.h"
#include "util/timestamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Changing instances: making, updating, renaming, deleting one. The work is done at once; its operation tells how it
 * went. */

/* What a client may say of an instance: api.InstancesPost and api.InstancePut in one. */
struct description {
	const char *name, *type, *text;
	const char *source_type;
	json_t *source, *config, *devices, *profiles;
	bool ephemeral;
};

static int decode(const struct request *request, const char *type, struct description *said, json_t **document,
		  struct error *error)
{
	const struct body_field fields[] = {
		{"name", BODY_STRING, &said->name},
		{"type", BODY_STRING, &said->type},
		{"description", BODY_STRING, &said->text},
		{"source", BODY_OBJECT, &said->source},
		{"config", BODY_MAP, &said->config},
		{"devices", BODY_MAPS, &said->devices},
		{"profiles", BODY_STRINGS, &said->profiles},
		{"ephemeral", BODY_BOOLEAN, &said->ephemeral},
		{0},
	};
	const struct body_field source[] = {{"type", BODY_STRING, &said->source_type}, {0}};
	int r = body_decode(request, BODY_STREAM, type, fields, document, error);

	if (r == 0 && said->source)
		r = body_decode_object(said->source, request, "InstanceSource", source, error);
	return r;
}

/* A row that is what `said` says over what `base` (may be NULL) holds. Empty strings stay, absent maps are empty. */
static int make_row(const struct description *said, const struct store_row *base, bool merge, struct store_row *row)
{
	const struct store_row *under = merge ? base : NULL;
	json_t *config = under ? json_duplicate(under->config) : json_object();
	json_t *devices = under ? json_duplicate(under->devices) : json_object();

	*row = base ? *base : (struct store_row){.created_at = timestamp_now()};
	// NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): what is new has a name, if only ""
	row->name = strdup(base ? base->name : said->name); /* a name in the body is no rename */
	row->description = strdup(said->text ? said->text : under ? under->description : "");
	if (said->config)
		json_put_all(&config, said->config);
	if (said->devices)
		json_put_all(&devices, said->devices);
	row->config = config;
	row->devices = devices;
	row->profiles = said->profiles ? json_duplicate(said->profiles)
			: under        ? json_duplicate(under->profiles)
				       : json_array();
	row->ephemeral = said->ephemeral;
	if (row->name && row->description && config && devices && row->profiles)
		return 0;
	store_row_finish(row);
	return -ENOMEM;
}

/* --- POST /1.0/instances --- */

static int invalid(const char *what, const struct error *why, struct error *error)
{
	return error_set(error, why->code == -ENOMEM ? -ENOMEM : -EINVAL, "Invalid %s: %s", what, error_text(why));
}

static int check_new(const struct request *request, const struct description *said, enum instance_type *type,
		     struct error *error)
{
	const char *collection = collection_of(request);
	struct error why = {0};

	if (!*said->type)
		*type = strcmp(collection, "/1.0/virtual-machines") == 0 ? INSTANCE_VIRTUAL_MACHINE
									 : INSTANCE_CONTAINER;
	else if (strcmp(said->type, "container") == 0)
		*type = INSTANCE_CONTAINER;
	else if (strcmp(said->type, "virtual-machine") == 0)
		*type = INSTANCE_VIRTUAL_MACHINE;
	else
		return error_set(error, -EINVAL, "Invalid instance type");
	if (check_profiles(said->profiles, error) < 0)
		return error->code;
	if (strcmp(said->source_type, "image") == 0)
		return error_set(error, -ENOENT, "Image alias not found");
	if (strcmp(said->source_type, "none") != 0)
		return error_set(error, -EINVAL, "Unknown source type %s", said->source_type);
	if (instances_check_name(said->name, &why) < 0)
		return error_set(error, -EINVAL, "Invalid instance name: %s", error_text(&why));
	if (said->config && config_check(*type, said->config, &why) < 0)
		return invalid("config", &why, error);
	if (said->devices && config_check_devices(*type, said->devices, &why) < 0)
		return invalid("devices", &why, error);
	return 0;
}

int instances_post(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct description said = {.name = "", .type = "", .source_type = ""};
	json_auto_t *document = NULL;
	struct operation *operation;
	struct error why = {0};
	enum instance_type type = INSTANCE_CONTAINER;
	struct store_row row;
	int r;

	r = decode(request, "InstancesPost", &said, &document, error);
	if (r == 0)
		r = check_new(request, &said, &type, error);
	if (r == 0)
		r = make_row(&said, NULL, false, &row);
	if (r < 0)
		return r;
	row.type = type;
	if (driver_check(&row, &why) < 0) {
		store_row_finish(&row);
		return invalid("config", &why, error);
	}
	r = task_create(api, request, "Creating instance", row.name, type == INSTANCE_CONTAINER, &operation, error);
	if (r == 0)
		r = task_answer(operation, request, response);
	if (r < 0) {
		store_row_finish(&row);
		return r;
	}
	task_finish(operation, instances_add(api->instances, &row, &request->identity, &why), &why);
	return 0;
}

/* What is not ours is not ours to change, nor to delete. */
static int check_ours(const struct instance *instance, const char *instead, struct error *error)
{
	const char *lxcpath = instance->row.lxcpath;

	return lxcpath ? error_set(error, -EINVAL, "The container is defined in %s: %s there", lxcpath, instead) : 0;
}

/* --- PUT and PATCH /1.0/instances/{name} --- */

static int check_etag(const struct request *request, const struct instance *instance, struct error *error)
{
	char etag[ETAG_LENGTH + 1];
	int r = render_etag(instance, etag);

	return r < 0 ? r : request_check_etag(request, etag, error);
}

/* Reads a new description of the instance into `row`, which the caller finishes. */
static int read_update(struct api *api, struct request *request, bool merge, struct instance **instance,
		       struct store_row *row, struct error *error)
{
	struct description said = {0};
	json_auto_t *document = NULL;
	int r;

	r = find_instance(api, request, instance, error);
	if (r == 0)
		r = check_ours(*instance, "change its config", error);
	if (r < 0)
		return r;
	said.ephemeral = merge && (*instance)->row.ephemeral;
	r = check_etag(request, *instance, error);
	if (r == 0)
		r = decode(request, "InstancePut", &said, &document, error);
	if (r == 0)
		r = check_profiles(said.profiles, error);
	return r < 0 ? r : make_row(&said, &(*instance)->row, merge, row);
}

int instance_put(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct operation *operation;
	struct instance *instance;
	struct error why = {0};
	struct store_row row;
	int r;

	r = read_update(api, request, false, &instance, &row, error);
	if (r < 0)
		return r;
	r = task_begin(api, request, response, "Updating instance", instance, &operation, error);
	if (r == 0)
		task_finish(operation, instance_update(instance, &row, &why), &why);
	store_row_finish(&row);
	return r;
}

int instance_patch(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct instance *instance;
	struct store_row row;
	int r;

	r = read_update(api, request, true, &instance, &row, error);
	if (r < 0)
		return r;
	r = instance_update(instance, &row, error);
	store_row_finish(&row);
	if (r == -EINVAL)
		return -EIO; /* LXD says 500 */
	if (r < 0)
		return r;
	return response_empty(response);
}

/* --- POST (rename) and DELETE /1.0/instances/{name} --- */

int instance_post(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct description said = {.name = ""};
	json_auto_t *document = NULL;
	struct operation *operation;
	struct instance *instance;
	struct error why = {0};
	int r;

	r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = check_ours(instance, "use lxc-copy --rename", error);
	if (r == 0)
		r = decode(request, "InstancePost", &said, &document, error);
	if (r < 0)
		return r;
	if (instances_check_name(said.name, &why) < 0)
		return error_set(error, -EINVAL, "Invalid instance name: %s", error_text(&why));
	if (instances_find(api->instances, said.name))
		return error_set(error, -EEXIST, "Name \"%s\" already in use", said.name);
	r = task_begin(api, request, response, "Renaming instance", instance, &operation, error);
	if (r < 0)
		return r;
	task_finish(operation, instances_rename(api->instances, instance, said.name, &request->identity, &why), &why);
	return 0;
}

int instance_delete(struct api *api, struct request *request, struct response *response, struct error *error)
{
	struct operation *operation;
	struct instance *instance;
	struct error why = {0};
	int r;

	r = find_instance(api, request, &instance, error);
	if (r == 0)
		r = check_ours(instance, "use lxc-destroy", error);
	if (r < 0)
		return r;
	if (instance_running(instance))
		return error_set(error, -EINVAL, "Instance is running");
	r = task_begin(api, request, response, "Deleting instance", instance, &operation, error);
	if (r < 0)
		return r;
	task_finish(operation, instances_delete(api->instances, instance, &request->identity, &why), &why);
	return 0;
}
