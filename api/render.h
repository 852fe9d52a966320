// SPDX-License-Identifier: Apache-2.0
/* Instances as LXD's JSON. Each returns a new reference, or NULL without memory. */
#pragma once

#include <jansson.h>

struct instance;

#define ETAG_LENGTH 36

/* api.Instance */
json_t *render_instance(const struct instance *instance);

/* api.InstanceState */
json_t *render_state(const struct instance *instance);

/* api.InstanceFull: the instance with its state, and no snapshots or backups. */
json_t *render_full(const struct instance *instance);

/* A tag of a document's content. -ENOMEM. */
int render_hash(const json_t *document, char etag[static ETAG_LENGTH + 1]);

/* A tag that changes with what PUT may change, the description aside (as in LXD). -ENOMEM. */
int render_etag(const struct instance *instance, char etag[static ETAG_LENGTH + 1]);
