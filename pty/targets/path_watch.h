// SPDX-License-Identifier: Apache-2.0
/* Waiting for a path to come to be, through links that may come later than what they point to. */
#pragma once

/*
 * Returns an inotify(7) descriptor, non-blocking, that becomes readable when `path` (absolute), or what it leads to,
 * may have appeared or become accessible. It looks at the directories as they are at present: make another one
 * afterwards, and before looking whether the path is there. -errno: look again now and then instead, which is wise in
 * any case.
 */
int path_watch(const char *path);
