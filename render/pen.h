// SPDX-License-Identifier: Apache-2.0
/*
 * Select graphic rendition (SGR; ECMA-48, 8.3.117, and xterm's colours) in and out. The pen is a blank cell that looks
 * as what is written next will.
 */
#pragma once

#include "render/grid.h"
#include "render/parser.h"
#include "render/writer.h"

/* Changes the pen as `csi` says, whose final byte is m. */
void pen_apply(struct cell *pen, const struct csi *csi);

/* Do two cells look the same, their characters aside? */
int pen_equal(const struct cell *one, const struct cell *other);

/* Makes a terminal's pen that of the cell, whatever it was. */
void pen_write(const struct cell *pen, struct writer *writer);
