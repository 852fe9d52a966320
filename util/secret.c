// SPDX-License-Identifier: Apache-2.0
#include "util/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int secret_create(struct secret *secret)
{
	unsigned char raw[SECRET_LENGTH / 2];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return -EIO;
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(secret->text + 2 * i, 3, "%02x", raw[i]);
	explicit_bzero(raw, sizeof(raw));
	return 0;
}

bool secret_matches(const struct secret *secret, const char *candidate)
{
	unsigned char difference = 0;

	if (!candidate || strlen(candidate) != SECRET_LENGTH)
		return false;
	for (size_t i = 0; i < SECRET_LENGTH; i++)
		difference |= (unsigned char)(secret->text[i] ^ candidate[i]);
	return difference == 0;
}
