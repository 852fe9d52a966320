// SPDX-License-Identifier: Apache-2.0
/*
 * A serial line: a terminal device that is there already (termios(3), ioctl_tty(2)), opened raw and for ourselves.
 * Nothing here blocks, but for what the device's driver needs in order to be set.
 */
#pragma once

#include "util/error.h"

#include <stddef.h>
#include <stdint.h>

enum serial_flow {
	SERIAL_FLOW_NONE,
	SERIAL_FLOW_RTSCTS,
	SERIAL_FLOW_XONXOFF, /* the bytes 17 and 19 are no data then */
	SERIAL_FLOWS,
};

/* What a keeper is to keep: a serial device. */
struct console_serial {
	const char *device; /* absolute; links (udev's by-id, by-path) are followed, each time it is opened */
	uint32_t speed;     /* baud; any that the device can do */
	uint8_t data_bits;  /* 5 to 8 */
	uint8_t stop_bits;  /* 1, 2 */
	char parity;        /* 'n', 'e', 'o' */
	enum serial_flow flow;
};

struct serial;

/* Whether there is a character device. -errno in words; more than that only serial_open() finds out. */
int serial_check(const char *device, struct error *error);

/*
 * Opens the line, without becoming its session or waiting for a carrier: raw, as `config` says, with modem lines
 * ignored. To be alone it
 * - has an flock(2), which holds against other keepers, and against whoever asks (picocom, tio, pyserial),
 * - sets TIOCEXCL, which holds against every other open(2) but root's,
 * - has a lock file LCK..NAME in /run/lock, if it may, as minicom, cu and pppd do (not of pseudo-terminals).
 * HUPCL is off: as a close does not drop DTR then, a board that takes that for a reset goes on.
 *
 * -EBUSY: somebody else has it; -ENOTTY: it is no terminal; -EINVAL: it cannot do that speed; or what open(2) says; all
 * in words.
 */
int serial_open(struct serial **serial, const struct console_serial *config, struct error *error);

/* One that is open, by an earlier keeper's serial_open(). Takes over `fd`. How it was set before that is not known. */
int serial_adopt(struct serial **serial, const struct console_serial *config, int fd);

/* Close-on-exec and non-blocking; the line's. */
int serial_fd(const struct serial *serial);

/* How many bytes have been written and are not sent. */
size_t serial_unsent(const struct serial *serial);

/* Drops them: a close would wait for them, for half a minute if the other side holds them up. */
void serial_discard_unsent(struct serial *serial);

/*
 * Sets it as it was before, but for HUPCL, lets others have it, even if there are other descriptors of it, and closes.
 * What is unsent is lost. NULL is allowed.
 */
void serial_close(struct serial *serial);
