// SPDX-License-Identifier: Apache-2.0
/*
 * What HTTP has for those who have a part of an answer already: Range requests (RFC 9110 section 14), one range of
 * bytes; and the dates of conditional ones (section 13).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Parses a Range header's value for a body of `size` bytes. 1: the part `*from`, `*length` is wanted; 0: the whole,
 * also where the header is absent (NULL), no range of bytes, or asks for several at once; -ERANGE: it lies outside of
 * the body.
 */
int range_parse(const char *value, size_t size, size_t *from, size_t *length);

#define HTTP_DATE_LENGTH 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* A point in time, in seconds since 1970, as HTTP writes it (section 5.6.7). */
void http_date_format(int64_t seconds, char text[static HTTP_DATE_LENGTH + 1]);

/* The same backwards. -EINVAL: it is none, or one of the forms that nobody writes any more; NULL is allowed. */
int http_date_parse(const char *text, int64_t *seconds);
