// SPDX-License-Identifier: Apache-2.0
/* The command line, consoled(8). */
#pragma once

#include "util/log.h"

#include <limits.h>

#define OPTIONS_EXIT 1 /* all was said (--help, --version, --routes): exit with 0 */

struct options {
	char directory[PATH_MAX]; /* absolute */
	char keeper[PATH_MAX];    /* the consoled-keeper to start */
	const char *group;        /* of the socket; NULL: none */
	enum log_level level;
	unsigned int attach_timeout; /* seconds */
};

/*
 * Reads the command line and fills in the defaults. 0, OPTIONS_EXIT, or -EINVAL after having said on stderr what is
 * wrong.
 */
int options_parse(struct options *options, int argc, char **argv);
