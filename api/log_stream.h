// SPDX-License-Identifier: Apache-2.0
/* A console's log as the body of an answer that is made while it is sent: in another format than its own, or followed.
 */
#pragma once

#include "api/log_query.h"
#include "api/log_range.h"
#include "api/response.h"

struct instance;

/*
 * Has `response` carry the range in the query's format, which is no screen. What is not followed is copied here. One
 * that is followed ends with what the instance runs, and must do so now: its range's end is of no interest. -ENOMEM.
 */
int log_stream(const struct log_query *query, const struct log_range *range, struct instance *instance,
	       struct response *response);
