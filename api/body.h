// SPDX-License-Identifier: Apache-2.0
/*
 * JSON bodies, decoded into typed fields as Go's encoding/json does for LXD: keys in any case, unknown ones ignored,
 * null leaves a field alone, and errors in its words, because clients show them.
 */
#pragma once

#include "api/request.h"
#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * Values in a body, as far as its bytes tell: clients send a dozen, an instance with very many keys some hundreds. Each
 * costs a microsecond and more, all at once, until it is parsed, checked, stored and shown.
 */
#define BODY_VALUES_MAX 4096

enum body_mode {
	BODY_WHOLE,  /* json.Unmarshal: nothing may follow the value */
	BODY_STREAM, /* json.Decoder: what follows is not looked at; an empty body is "EOF" */
};

enum body_type {
	BODY_STRING,  /* const char *, borrowed from the document */
	BODY_INTEGER, /* int64_t */
	BODY_BOOLEAN, /* bool */
	BODY_STRINGS, /* json_t *, array of strings, borrowed */
	BODY_MAP,     /* json_t *, {string: string}, borrowed */
	BODY_MAPS,    /* json_t *, {string: {string: string}}, borrowed */
	BODY_OBJECT,  /* json_t *, any object, borrowed */
};

struct body_field {
	const char *name;
	enum body_type type;
	void *target; /* untouched where the field is absent or null */
};

/*
 * Parses the request's body into `*document`, which owns what the fields borrow, and takes the `fields` (ended by one
 * without a name) from it. `type` is Go's name, "InstanceConsolePost". -EINVAL with Go's words, or for more than
 * BODY_VALUES_MAX values.
 */
int body_decode(const struct request *request, enum body_mode mode, const char *type, const struct body_field *fields,
		json_t **document, struct error *error);

/* The same for an object inside a document; nothing is in NULL and in what is no object. */
int body_decode_object(json_t *object, const struct request *request, const char *type, const struct body_field *fields,
		       struct error *error);
