// SPDX-License-Identifier: Apache-2.0
/*
 * A lock file of somebody else's, in a directory that all may write to. The first byte says what it is and how we ask.
 * Who finds it locked leaves it as it is; who has it, has it alone, and leaves nothing behind.
 */
#include "pty/targets/uucp_lock.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TAKE = 1,
	LINK = 2,  /* to a file with the bytes, which is not to be followed */
	NAMED = 4, /* what is there is a FIFO */
};

static int directory = -1; /* where it all happens */

static void make_file(const char *name, const uint8_t *data, size_t size)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

static void make_lock(uint8_t how, const uint8_t *data, size_t size)
{
	if (how & LINK) {
		make_file("elsewhere", data, size);
		require(symlinkat("elsewhere", directory, "LCK..ttyX") == 0);
	} else if (how & NAMED) {
		require(mkfifoat(directory, "LCK..ttyX", 0644) == 0);
	} else {
		make_file("LCK..ttyX", data, size);
	}
}

/* The pid in the lock file; 0: there is none, or it is no file. */
static int owner(void)
{
	int fd = openat(directory, "LCK..ttyX", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[16] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n == 11 && text[10] == '\n' ? atoi(text) : 0;
}

static bool exists(const char *name)
{
	return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uucp_lock lock;
	struct error error = {0};
	char temporary[32];
	uint8_t how;
	int r;

	if (directory < 0)
		directory = open(fuzz_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (size == 0)
		return 0;
	how = data[0];
	make_lock(how, data + 1, size - 1);
	r = uucp_lock(&lock, fuzz_directory(), "ttyX", how & TAKE, &error);
	require((r == 0 && lock.path[0] && owner() == getpid()) ||
		(r == -EBUSY && !lock.path[0] && error.text[0] && !(how & TAKE) && exists("LCK..ttyX")));
	uucp_unlock(&lock);
	require(exists("LCK..ttyX") == (r < 0));
	snprintf(temporary, sizeof(temporary), "LTMP.%d", (int)getpid());
	require(!exists(temporary) && exists("elsewhere") == ((how & LINK) != 0));
	unlinkat(directory, "LCK..ttyX", 0);
	unlinkat(directory, "elsewhere", 0);
	return 0;
}
