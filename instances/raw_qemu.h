// SPDX-License-Identifier: Apache-2.0
/* The value of raw.qemu: words of QEMU's command line (qemu-system-x86_64(1)) that go behind what we set. */
#pragma once

#include "util/error.h"

#include <stdbool.h>

/*
 * Splits it as words.h says, into a vector to be freed by the caller with free(). -EINVAL with a reason: unfinished
 * quote, or an option that would take the console, the display or the machine's end away from consoled; -ENOMEM.
 * Options are known by their look: a value that looks like one counts as one.
 */
int raw_qemu_split(const char *text, char ***words, struct error *error);

/* Whether `option`, such as "sandbox", is among the words. */
bool raw_qemu_has(char *const *words, const char *option);
