// SPDX-License-Identifier: Apache-2.0
#include "pty/terminal.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

int terminal_open(uint16_t width, uint16_t height)
{
	struct winsize size = {.ws_col = width ? width : 80, .ws_row = height ? height : 24};
	cleanup_close int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (master < 0 || unlockpt(master) < 0 || ioctl(master, TIOCSWINSZ, &size) < 0)
		return -errno;
	return move_fd(&master);
}

int terminal_hold_slave(int master)
{
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	return slave < 0 ? -errno : slave;
}
