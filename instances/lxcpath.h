// SPDX-License-Identifier: Apache-2.0
/*
 * LXC's containers as they are found from the outside: defined as NAME/config below an lxcpath (lxc.container.conf(5)),
 * and running while a monitor answers at their abstract socket. No liblxc, and no polling: inotify(7) tells of
 * definitions that come and go, and of the cgroup lxc.monitor.NAME that liblxc makes in the root of each hierarchy for
 * every container it starts, when it has bound the socket already. What is not told, and only seen by looking: starts
 * with lxc.cgroup.relative or a lxc.cgroup.dir, and a config that is removed from a directory that stays.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct lxcpath;

/*
 * Container `name`, of this lxcpath or of another, has just been started; NULL: other containers may be defined than
 * before. Comes from the loop; the lxcpath must not be destroyed in it.
 */
typedef void (*lxcpath_news)(const char *name, void *user);

/*
 * Watches `path`, which is absolute and need not exist. Without inotify there is no news, and the log says so. -ENOMEM.
 */
int lxcpath_create(struct lxcpath **lxcpath, uv_loop_t *loop, const char *path, lxcpath_news news, void *user);

/* NULL is allowed. */
void lxcpath_destroy(struct lxcpath *lxcpath);

const char *lxcpath_path(const struct lxcpath *lxcpath);

/* `defined_at`: when its config was last written, nanoseconds since 1970. */
typedef void (*lxcpath_each_callback)(const char *name, int64_t defined_at, void *user);

/* Calls `each` for every container that is defined; blocks for a directory's reading. -errno; what is not there is
 * empty. */
int lxcpath_each(struct lxcpath *lxcpath, lxcpath_each_callback each, void *user);

/* -ENOENT if it is not defined. Other errors leave it open. `defined_at` as above. */
int lxcpath_find(const struct lxcpath *lxcpath, const char *name, int64_t *defined_at);

/*
 * Whether nobody but root and the daemon's user can change container `name` or put another in its place: liblxc does as
 * root what a config says. Looks at the config, its directory and all above. -EPERM naming what somebody else owns or
 * may write to; what cannot be looked at.
 */
int lxcpath_check_owner(const char *path, const char *name, struct error *error);

/*
 * Whether a monitor of root, ours or the lxcpath's owner answers for the container: it runs, or is being started or
 * stopped. Does not block; sees monitors in our network namespace only, as LXC's own tools do.
 */
bool lxcpath_running(const char *path, const char *name);
