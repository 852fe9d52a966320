// SPDX-License-Identifier: Apache-2.0
/* A point in time as RFC 3339 has it, and as HTTP has it: one that is read is the same when it is written and read
 * again. */
#include "api/range.h"
#include "tests/fuzz/fuzz.h"
#include "util/cleanup.h"
#include "util/timestamp.h"

#include <string.h>

#define YEAR_10000 INT64_C(253402300800) /* has a digit too many for HTTP */

static void check_timestamp(const char *text)
{
	char again[TIMESTAMP_LENGTH + 1];
	int64_t time, same;

	if (timestamp_parse(text, &time) < 0)
		return;
	timestamp_format(time, again);
	require(timestamp_parse(again, &same) == 0 && same == time);
}

static void check_date(const char *text)
{
	char again[HTTP_DATE_LENGTH + 1];
	int64_t seconds, same;

	if (http_date_parse(text, &seconds) < 0 || seconds >= YEAR_10000)
		return;
	http_date_format(seconds, again);
	require(http_date_parse(again, &same) == 0 && same == seconds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);

	check_timestamp(text);
	check_date(text);
	return 0;
}
