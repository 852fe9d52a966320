// SPDX-License-Identifier: Apache-2.0
/* What an instance's devices may be: disks and network interfaces, with LXD's keys. */
#pragma once

#include "instances/store.h"
#include "util/error.h"

#include <jansson.h>

/*
 * Checks one device, {string: string}, as far as it can be without knowing what the instance runs. -EINVAL in LXD's
 * words (Device validation failed for "NAME": Invalid device option "x"), or naming the key and what is wrong with it.
 */
int device_check(enum instance_type type, const char *name, const json_t *device, struct error *error);

/* Whether it is a disk that is the root of the file system (path=/). */
bool device_is_root(const json_t *device);

/* The root disk, or NULL; `name` may be NULL, and gets a pointer into `devices`. */
const json_t *devices_root(const json_t *devices, const char **name);

/* The directory that a container's root disk names, or NULL. */
const char *devices_rootfs(const json_t *devices);
