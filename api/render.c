// SPDX-License-Identifier: Apache-2.0
#include "api/render.h"

#include "instances/instance.h"
#include "instances/usage.h"
#include "util/cleanup.h"
#include "util/timestamp.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <uuid.h>

static json_t *render_time(int64_t timestamp)
{
	char text[TIMESTAMP_LENGTH + 1];

	timestamp_format(timestamp, text);
	return json_string(text);
}

static json_t *render_architecture(void)
{
	struct utsname kernel;

	return json_string(uname(&kernel) == 0 ? kernel.machine : "unknown");
}

json_t *render_instance(const struct instance *instance)
{
	const struct store_row *row = &instance->row;

	return json_pack("{s:o, s:O, s:O, s:b, s:O, s:b, s:s, s:o, s:O, s:O, s:s, s:s, s:i, s:o, s:s, s:s, s:s}",
			 "architecture", render_architecture(), "config", row->config, "devices", row->devices,
			 "ephemeral", row->ephemeral, "profiles", row->profiles, "stateful", 0, "description",
			 row->description, "created_at", render_time(row->created_at), "expanded_config", row->config,
			 "expanded_devices", row->devices, "name", row->name, "status",
			 instance_status_name(instance->status), "status_code", instance->status, "last_used_at",
			 render_time(row->last_used_at), "location", "none", "type", instance_type_name(row->type),
			 "project", "default");
}

json_t *render_state(const struct instance *instance)
{
	struct usage usage = {0};
	pid_t pid = instance_running(instance) ? console_pid(instance->console) : 0;

	if (pid > 0)
		usage_of(pid, &usage);
	return json_pack("{s:s, s:i, s:{}, s:{s:I, s:I, s:I, s:I}, s:n, s:i, s:i, s:{s:I}}", "status",
			 instance_status_name(instance->status), "status_code", instance->status, "disk", "memory",
			 "usage", (json_int_t)usage.memory, "usage_peak", (json_int_t)usage.memory_peak, "swap_usage",
			 (json_int_t)usage.swap, "swap_usage_peak", (json_int_t)0, "network", "pid", (int)pid,
			 "processes", (int)usage.processes, "cpu", "usage", (json_int_t)usage.cpu);
}

json_t *render_full(const struct instance *instance)
{
	json_t *full = render_instance(instance);

	if (!full || json_object_set_new(full, "backups", json_null()) < 0 ||
	    json_object_set_new(full, "state", render_state(instance)) < 0 ||
	    json_object_set_new(full, "snapshots", json_null()) < 0) {
		json_decref(full);
		return NULL;
	}
	return full;
}

int render_hash(const json_t *document, char etag[static ETAG_LENGTH + 1])
{
	cleanup_free char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
	uuid_t hash;

	if (!text)
		return -ENOMEM;
	uuid_generate_sha1(hash, *uuid_get_template("oid"), text, strlen(text));
	uuid_unparse_lower(hash, etag);
	return 0;
}

int render_etag(const struct instance *instance, char etag[static ETAG_LENGTH + 1])
{
	const struct store_row *row = &instance->row;
	json_auto_t *covered = json_pack("[O, O, b, O]", row->config, row->devices, row->ephemeral, row->profiles);

	return covered ? render_hash(covered, etag) : -ENOMEM;
}
