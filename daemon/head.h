// SPDX-License-Identifier: Apache-2.0
/*
 * The head of an HTTP request, looked at while it is still in the socket, to tell a WebSocket handshake from any other
 * request. It only decides who will read the request, so what is doubtful (bare LF, folded lines, fields that come
 * twice) is no handshake and is left to the HTTP library. Pure: no state, no allocation.
 */
#pragma once

#include <stddef.h>

#define HEAD_MAX 8192 /* bytes looked at; a longer head is a plain request */

enum head_verdict {
	HEAD_INCOMPLETE, /* ask again when more has come */
	HEAD_GARBAGE,    /* not HTTP: the first line is one word */
	HEAD_PLAIN,      /* a request, right or wrong, without a proper handshake */
	HEAD_UPGRADE,    /* a whole WebSocket handshake (RFC 6455 section 4.2.1): always a GET, HTTP/1.1, no body */
};

struct head {
	const char *target; /* points into the bytes; not empty, without blanks and control characters */
	size_t target_length;
};

/*
 * Judges the first `length` bytes of a request. `head` is filled in for HEAD_UPGRADE. A verdict other than
 * HEAD_INCOMPLETE does not change when more bytes come.
 */
enum head_verdict head_parse(const char *bytes, size_t length, struct head *head);
