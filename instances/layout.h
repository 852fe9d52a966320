// SPDX-License-Identifier: Apache-2.0
/* The US layout of a keyboard. */
#pragma once

#include <stdbool.h>

/* The key that types a character, by QEMU's name (static), and whether it does so with shift. NULL: none does. */
const char *layout_find(char character, bool *shift);
