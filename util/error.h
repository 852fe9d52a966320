// SPDX-License-Identifier: Apache-2.0
/*
 * Errors. A function that can fail returns 0 (or a count) or -errno, and results leave through out-parameters. Where a
 * person will read the reason, it also takes a `struct error *` and says it in one line:
 *
 *     return error_set(error, -EINVAL, "Unknown console type \"%s\"", type);
 *
 * The pair travels up unchanged and is told once, at the edge (api/response.c has the table from errno to HTTP status).
 */
#pragma once

#define ERROR_TEXT_MAX 384

struct error {
	int code;                  /* -errno; 0 = no error */
	char text[ERROR_TEXT_MAX]; /* for people; cut when too long */
};

/* Sets the reason and returns `code`, which is a negative errno. `error` may be NULL. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The reason's text, or that of the errno where none was set. Never NULL. */
const char *error_text(const struct error *error);
