// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/serial.h"
#include "pty/targets/uucp_lock.h"
#include "util/cleanup.h"

#include <asm/termbits.h> /* instead of termios.h: struct termios2 has any speed */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define LOCKS "/run/lock"
#define SPEED_TOLERANCE 20 /* 1/20; a receiver stands less */

struct serial {
	int fd;
	bool known; /* how it was: */
	struct termios2 before;
	struct uucp_lock lock;
};

/* Those that have a flag. Of others stty(1) and its like could not make sense. */
static const struct {
	uint32_t speed;
	tcflag_t flag;
} speeds[] = {
	{50, B50},           {75, B75},           {110, B110},         {134, B134},         {150, B150},
	{200, B200},         {300, B300},         {600, B600},         {1200, B1200},       {1800, B1800},
	{2400, B2400},       {4800, B4800},       {9600, B9600},       {19200, B19200},     {38400, B38400},
	{57600, B57600},     {115200, B115200},   {230400, B230400},   {460800, B460800},   {500000, B500000},
	{576000, B576000},   {921600, B921600},   {1000000, B1000000}, {1152000, B1152000}, {1500000, B1500000},
	{2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000}, {3500000, B3500000}, {4000000, B4000000},
};

static tcflag_t speed_flag(uint32_t speed)
{
	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].speed == speed)
			return speeds[i].flag;
	return BOTHER;
}

static tcflag_t control_flags(const struct console_serial *config)
{
	static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
	tcflag_t flags = CREAD | CLOCAL | speed_flag(config->speed) | sizes[config->data_bits - 5];

	if (config->stop_bits == 2)
		flags |= CSTOPB;
	if (config->parity != 'n')
		flags |= PARENB;
	if (config->parity == 'o')
		flags |= PARODD;
	if (config->flow == SERIAL_FLOW_RTSCTS)
		flags |= CRTSCTS;
	return flags;
}

static int set(int fd, const struct console_serial *config, struct error *error)
{
	struct termios2 settings = {
		.c_iflag = config->flow == SERIAL_FLOW_XONXOFF ? IXON | IXOFF : 0,
		.c_cflag = control_flags(config),
		.c_cc = {[VMIN] = 1, [VSTART] = 17, [VSTOP] = 19},
		.c_ispeed = config->speed,
		.c_ospeed = config->speed,
	};
	uint32_t speed;

	/* The driver takes what it can, and no error is told: it is in what it says that it has set. */
	if (ioctl(fd, TCSETS2, &settings) < 0 || ioctl(fd, TCGETS2, &settings) < 0)
		return error_set(error, -errno, "serial.device: %s: %s", config->device, strerror(errno));
	speed = settings.c_ospeed;
	if (speed > config->speed + config->speed / SPEED_TOLERANCE ||
	    speed < config->speed - config->speed / SPEED_TOLERANCE)
		return error_set(error, -EINVAL, "serial.speed: %s does not do %u baud; it would do %u", config->device,
				 config->speed, speed);
	return 0;
}

int serial_check(const char *device, struct error *error)
{
	struct stat status;

	if (stat(device, &status) < 0)
		return error_set(error, -errno, "serial.device: %s: %s", device, strerror(errno));
	if (!S_ISCHR(status.st_mode))
		return error_set(error, -ENOTTY, "serial.device: %s is not a serial device", device);
	return 0;
}

/* A port whose hardware is missing opens all the same, but can do nothing. */
static bool is_dead(int fd)
{
	int lines;

	return ioctl(fd, TIOCMGET, &lines) < 0 && errno == EIO;
}

static int check_open(int fd, const char *device, struct error *error)
{
	if (!isatty(fd))
		return error_set(error, -ENOTTY, "serial.device: %s is not a serial device", device);
	if (is_dead(fd))
		return error_set(error, -EIO, "serial.device: %s has no hardware behind it", device);
	return 0;
}

/* The name of LCK..NAME is that of the device in /dev, whatever link has led there. */
static int lock_file(struct uucp_lock *lock, const char *device, bool take, struct error *error)
{
	cleanup_free char *path = realpath(device, NULL);

	if (!path || strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/pts/", 9) == 0)
		return 0;
	return uucp_lock(lock, LOCKS, strrchr(path, '/') + 1, take, error);
}

static int be_alone(struct serial *serial, const char *device, struct error *error)
{
	int r;

	if (flock(serial->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(error, -EBUSY, "serial.device: %s is in use by another program", device);
	r = lock_file(&serial->lock, device, false, error);
	if (r == 0) /* last, for it would outlast us as long as others have it open */
		ioctl(serial->fd, TIOCEXCL);
	return r;
}

static int open_device(const char *device, struct error *error)
{
	int r = serial_check(device, error), fd; /* before it is opened: who knows what that would set off */

	if (r < 0)
		return r;
	fd = open(device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return error_set(error, -EBUSY, "serial.device: %s is in use by another program", device);
	return error_set(error, -errno, "serial.device: %s: %s", device, strerror(errno));
}

int serial_open(struct serial **result, const struct console_serial *config, struct error *error)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	int r;

	if (!serial)
		return -ENOMEM;
	r = serial->fd = open_device(config->device, error);
	if (r >= 0)
		r = check_open(serial->fd, config->device, error);
	if (r == 0)
		r = be_alone(serial, config->device, error);
	if (r < 0) { /* it is not ours to be set */
		close_fd(&serial->fd);
		free(serial);
		return r;
	}
	serial->known = ioctl(serial->fd, TCGETS2, &serial->before) == 0;
	r = set(serial->fd, config, error);
	if (r < 0) {
		serial_close(serial);
		return r;
	}
	*result = serial;
	return 0;
}

static bool is_same(const char *device, int fd)
{
	struct stat named, opened;

	return stat(device, &named) == 0 && fstat(fd, &opened) == 0 && named.st_rdev == opened.st_rdev;
}

int serial_adopt(struct serial **result, const struct console_serial *config, int fd)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	if (!serial) {
		close(fd);
		return -ENOMEM;
	}
	serial->fd = fd;
	if (is_same(config->device, fd))                              /* a restart may be about to take another */
		lock_file(&serial->lock, config->device, true, NULL); /* the old one names a keeper that is dead */
	*result = serial;
	return 0;
}

int serial_fd(const struct serial *serial)
{
	return serial->fd;
}

size_t serial_unsent(const struct serial *serial)
{
	int count = 0;

	return ioctl(serial->fd, TIOCOUTQ, &count) < 0 || count < 0 ? 0 : (size_t)count;
}

void serial_discard_unsent(struct serial *serial)
{
	ioctl(serial->fd, TCFLSH, TCOFLUSH);
}

void serial_close(struct serial *serial)
{
	if (!serial)
		return;
	serial_discard_unsent(serial);
	if (serial->known) {
		serial->before.c_cflag &= ~(tcflag_t)HUPCL;
		ioctl(serial->fd, TCSETS2, &serial->before);
	}
	uucp_unlock(&serial->lock);
	ioctl(serial->fd, TIOCNXCL);
	flock(serial->fd, LOCK_UN);
	close(serial->fd);
	free(serial);
}
