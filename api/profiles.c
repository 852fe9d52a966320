// SPDX-License-Identifier: Apache-2.0
/*
 * The one profile, `default`. lxc wants to read it before it makes an instance with `-d root,...`: it takes the
 * profile's device, changes what the option says, and sends it as the instance's own. Nothing else comes of a profile:
 * instances are not given its device.
 */
#include "api/handlers.h"
#include "api/render.h"
#include "instances/instance.h"
#include "util/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_PROFILE "default"

static bool has_profile(const struct instance *instance)
{
	const json_t *profile;
	size_t i;

	json_array_foreach (instance->row.profiles, i, profile)
		if (strcmp(json_string_value(profile), DEFAULT_PROFILE) == 0)
			return true;
	return false;
}

/* The URLs of the instances that name the profile. */
static json_t *used_by(const struct api *api)
{
	const struct instance *instance;
	json_t *list = json_array();

	list_for_each (instance, &api->instances->all, link)
		if (has_profile(instance))
			json_append(&list, json_sprintf("/1.0/instances/%s", instance->row.name));
	return list;
}

/* api.Profile without used_by: what its etag covers */
static json_t *render_profile(void)
{
	return json_pack("{s:s, s:s, s:{}, s:{s:{s:s, s:s}}}", "name", DEFAULT_PROFILE, "description",
			 "A root disk for --device root,...; instances are not given it", "config", "devices", "root",
			 "type", "disk", "path", "/");
}

static int check_project(const struct request *request, struct error *error)
{
	if (project_exists(request))
		return 0;
	return error_set(error, -ENOENT, "Failed loading project \"%s\": Project not found",
			 request_query(request, "project"));
}

int profiles_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	json_t *profile;
	int r = check_project(request, error);

	if (r < 0)
		return r;
	if (request_recursion(request) == 0)
		return response_sync(response, json_pack("[s]", "/1.0/profiles/" DEFAULT_PROFILE));
	profile = render_profile();
	json_put(&profile, "used_by", used_by(api));
	profile = json_pack("[o]", profile);
	return profile ? response_sync(response, profile) : -ENOMEM;
}

int profile_get(struct api *api, struct request *request, struct response *response, struct error *error)
{
	json_auto_t *profile = NULL;
	char etag[ETAG_LENGTH + 1];
	int r = check_project(request, error);

	if (r < 0)
		return r;
	if (strcmp(request->parameters[0], DEFAULT_PROFILE) != 0)
		return error_set(error, -ENOENT, "Fetch profile: Profile not found");
	profile = render_profile();
	if (!profile || render_hash(profile, etag) < 0)
		return -ENOMEM;
	json_put(&profile, "used_by", used_by(api));
	return response_sync_etag(response, json_incref(profile), etag);
}

int check_profiles(const json_t *profiles, struct error *error)
{
	const json_t *profile;
	size_t i;

	json_array_foreach (profiles, i, profile)
		if (strcmp(json_string_value(profile), DEFAULT_PROFILE) != 0)
			return error_set(error, -ENOENT, "Requested profile \"%s\" doesn't exist",
					 json_string_value(profile));
	if (json_array_size(profiles) > 1)
		return error_set(error, -EINVAL, "Duplicate profile found in request");
	return 0;
}
