// SPDX-License-Identifier: Apache-2.0
/* Range requests (RFC 9110 section 14): one range of bytes. */
#pragma once

#include <stddef.h>

/*
 * Parses a Range header's value for a body of `size` bytes. 1: the part `*from`, `*length` is wanted; 0: the whole,
 * also where the header is absent (NULL), no range of bytes, or asks for several at once; -ERANGE: it lies outside of
 * the body.
 */
int range_parse(const char *value, size_t size, size_t *from, size_t *length);
