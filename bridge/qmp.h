// SPDX-License-Identifier: Apache-2.0
/*
 * QMP, the protocol of QEMU's monitor (qemu's docs/interop/qmp-spec.txt): one JSON document per line, both ways. Here
 * are its words only; who has the connection reads and writes.
 */
#pragma once

#include "util/buffer.h"

#include <jansson.h>
#include <stdint.h>

#define QMP_LINE_MAX (256 * 1024)

enum qmp_kind {
	QMP_GREETING, /* the first; commands are taken after qmp_capabilities */
	QMP_RETURN,
	QMP_ERROR,
	QMP_EVENT,
};

struct qmp_message {
	enum qmp_kind kind;
	json_int_t id;    /* of the command that this answers; 0 = none */
	int64_t time;     /* an event's: microseconds since 1970, by QEMU's clock */
	const char *name; /* an event's, or an error's words; "" else */
	json_t *data;     /* an event's data, a command's return; may be NULL */
	json_t *document; /* owns the above */
};

/*
 * Takes the next message out of what has been read so far. 0: `*message` is to be finished by the caller. -EAGAIN: its
 * end has not been read yet. -EBADMSG: not QMP, or a line longer than QMP_LINE_MAX; the connection is of no more use.
 */
int qmp_take(struct buffer *read, struct qmp_message *message);

void qmp_finish(struct qmp_message *message);

/*
 * A command as it is sent, its newline included, to be freed by the caller: `arguments` (consumed) may be NULL, an `id`
 * of 0 is left out. NULL: no memory.
 */
char *qmp_command(const char *name, json_t *arguments, json_int_t id);
