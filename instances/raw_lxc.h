// SPDX-License-Identifier: Apache-2.0
/* The value of raw.lxc: lines of lxc.container.conf(5) that go over what we set. */
#pragma once

#include "instances/items.h"
#include "util/error.h"

/*
 * Reads it as liblxc reads a config file (lxc/confile.c, parse_line): comments and empty lines are left out, blanks
 * around key and value do not count, nor does a pair of quotes around the value. Adds what is left to `items`.
 * -EINVAL with line and reason: no '=', no lxc. key, or a key that consoled does not leave to others (LXD refuses some
 * of them too: lxc.log.file, lxc.log.syslog, lxc.ephemeral); -ENOMEM.
 */
int raw_lxc_parse(const char *text, struct items *items, struct error *error);
