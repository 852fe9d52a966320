// SPDX-License-Identifier: Apache-2.0
/* Sizes as people write them, in LXD's notation. */
#pragma once

#include <stdint.h>

/* "64KiB", "1MiB", "1MB", "4096": bytes. -EINVAL. */
int size_parse(const char *text, uint64_t *bytes);
