// SPDX-License-Identifier: Apache-2.0
#include "render/plain.h"

#include <string.h>

struct output {
	struct plain *plain;
	char *out;
	size_t length;
};

static void on_text(void *user, const char *text, size_t length)
{
	struct output *output = user;

	if (output->plain->returned)
		output->out[output->length++] = '\n';
	output->plain->returned = 0;
	output->plain->written = 1;
	memcpy(output->out + output->length, text, length);
	output->length += length;
}

static void on_control(void *user, char code)
{
	struct output *output = user;

	if (code == '\t') {
		on_text(user, "\t", 1);
	} else if (code == '\r') {
		output->plain->returned = output->plain->written;
	} else if (code == '\n') {
		output->out[output->length++] = '\n';
		output->plain->returned = output->plain->written = 0;
	}
}

size_t plain_feed(struct plain *plain, const char *data, size_t length, char *out)
{
	static const struct parser_events events = {.text = on_text, .control = on_control};
	struct output output = {.plain = plain, .out = out};

	parser_feed(&plain->parser, &events, &output, data, length);
	return output.length;
}
