// SPDX-License-Identifier: Apache-2.0
/* Shell words: a command line split as sh(1) quotes it (POSIX 2.2), and nothing else of the shell: no expansion. */
#pragma once

#include "util/error.h"

/*
 * Splits `text` into a NULL-terminated vector, one allocation to be freed by the caller with free(). Quotes '...' and
 * "..." (in which \ escapes $ ` " \ and newline) and \ outside quotes work as in sh. Characters that would mean more
 * in a shell ($ ` | & ; < > ( ) outside quotes) are plain characters here. -EINVAL with a reason: unfinished quote,
 * trailing backslash. An empty text is an empty vector.
 */
int words_split(const char *text, char ***words, struct error *error);
