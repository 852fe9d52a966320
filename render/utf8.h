// SPDX-License-Identifier: Apache-2.0
/* UTF-8 of foreign bytes (RFC 3629; The Unicode Standard, section 3.9, tables 3-7 and 3-8). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/*
 * What `bytes` (at least one) begin with: a character of that many bytes (1 to 4); 0 if a character is cut off by their
 * end; or, negative, so many bytes (1 to 3) that are to become one U+FFFD: the longest beginning of a character that is
 * there, or one byte. Longer spellings than needed, surrogates and what lies beyond U+10FFFF are no characters.
 */
static inline int utf8_scan(const uint8_t *bytes, size_t length)
{
	uint8_t low = 0x80, high = 0xbf, lead = bytes[0];
	int missing, i;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return -1;
	missing = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	for (i = 1; i <= missing; i++, low = 0x80, high = 0xbf) {
		if ((size_t)i == length)
			return 0;
		if (bytes[i] < low || bytes[i] > high)
			return -i;
	}
	return 1 + missing;
}

/* The code point of a character of `length` bytes, as utf8_scan() found it. */
static inline uint32_t utf8_decode(const uint8_t *bytes, int length)
{
	uint32_t code = length == 1 ? bytes[0] : bytes[0] & (0x7fU >> length);
	int i;

	for (i = 1; i < length; i++)
		code = code << 6 | (bytes[i] & 0x3f);
	return code;
}

/* Writes a code point to `out`, which has room for 4 bytes; returns how many it took. */
static inline size_t utf8_encode(uint32_t code, char *out)
{
	size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4, i;

	if (length == 1) {
		out[0] = (char)code;
		return 1;
	}
	for (i = length - 1; i; i--, code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3f));
	out[0] = (char)(0xf00U >> length | code);
	return length;
}
