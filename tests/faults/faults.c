// SPDX-License-Identifier: Apache-2.0
/*
 * A library to be preloaded, that makes calls fail on command, with an errno of choice: allocations (always ENOMEM);
 * what changes the file system below a directory (creating, growing, writing, syncing); what opens a file or a socket;
 * what starts a process. tests/api/faults.py commands it through a file that both map, named by the environment;
 * without one nothing fails. Only consoled and its keepers listen, each to plans of their own. It cannot be used under
 * AddressSanitizer, whose allocator is preloaded itself.
 */
#undef _FILE_OFFSET_BITS /* both names of each function are defined here */

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACE_DEPTH 40

/* Calls are numbered from 1, from when a plan was made. Those from `first` to `last` fail; or each in `one_in`. */
struct plan {
	_Atomic uint64_t armed, calls, first, last, one_in, seed, error, failed, trace;
};

enum kind { MEMORY, DISK, FILES, PROCESSES, KINDS };
enum program { DAEMON, KEEPER, PROGRAMS };

/* faults.py knows this layout. */
struct command {
	struct plan plans[PROGRAMS][KINDS];
	char directory[256]; /* of DISK */
};

static struct command *command;
static struct plan *plans; /* of this program; NULL: it is none that listens */

/* Of glibc, which exports them for such as us; dlsym() would allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

__attribute__((constructor)) static void listen_to(void)
{
	const char *path = getenv("CONSOLED_FAULTS"), *name = program_invocation_short_name;
	void *frames[1];
	int fd;

	if (!path || strncmp(name, "consoled", 8) != 0)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	backtrace(frames, 1); /* loads what it needs, while there is memory */
	command = mmap(NULL, sizeof(*command), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (command == MAP_FAILED)
		abort();
	plans = command->plans[name[8] ? KEEPER : DAEMON];
}

static void trace(const struct plan *plan)
{
	void *frames[TRACE_DEPTH];
	char line[64];
	int depth = backtrace(frames, TRACE_DEPTH);

	if (write(2, line, (size_t)snprintf(line, sizeof(line), "faults: call %d fails\n", (int)plan->calls)) > 0)
		backtrace_symbols_fd(frames + 2, depth - 2, 2);
}

/* xorshift64* */
static uint64_t random_number(struct plan *plan)
{
	uint64_t x = plan->seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	plan->seed = x;
	return x * 0x2545f4914f6cdd1dULL >> 33;
}

/* Counts a call, and says whether it is to fail. */
static bool fails(enum kind kind)
{
	struct plan *plan = plans ? &plans[kind] : NULL;
	uint64_t number;

	if (!plan || !plan->armed)
		return false;
	number = ++plan->calls;
	if (plan->one_in ? random_number(plan) % plan->one_in != 0 : number < plan->first || number > plan->last)
		return false;
	plan->failed++;
	if (plan->trace) {
		plan->armed = 0;
		trace(plan);
		plan->armed = 1;
	}
	errno = (int)plan->error;
	return true;
}

/* --- memory --- */

void *malloc(size_t size)
{
	return fails(MEMORY) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
	if (fails(MEMORY))
		return ENOMEM;
	*result = __libc_memalign(alignment, size);
	return *result ? 0 : ENOMEM;
}

/* --- the file system --- */

static bool below_directory(const char *path)
{
	size_t length = strlen(command->directory);

	return length && strncmp(path, command->directory, length) == 0 && path[length] == '/';
}

/* Whether a call on this file is to fail. */
static bool fd_fails(int fd)
{
	char link[64], path[512];
	ssize_t length;

	if (!plans || !plans[DISK].armed)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return false;
	path[length] = '\0';
	return below_directory(path) && fails(DISK);
}

/* Whether a call that makes this name is to fail. */
static bool name_fails(int directory, const char *name)
{
	char path[512];

	if (!plans || !plans[DISK].armed)
		return false;
	if (name[0] != '/' && directory != AT_FDCWD)
		return fd_fails(directory);
	snprintf(path, sizeof(path), "%s", name);
	return below_directory(path) && fails(DISK);
}

#define NEXT(function) ((__typeof__(&(function)))dlsym(RTLD_NEXT, #function))

ssize_t write(int fd, const void *data, size_t size)
{
	return fd_fails(fd) ? -1 : NEXT(write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return fd_fails(fd) ? -1 : NEXT(pwrite)(fd, data, size, offset);
}

int ftruncate(int fd, off_t size)
{
	return fd_fails(fd) ? -1 : NEXT(ftruncate)(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
	return fd_fails(fd) ? -1 : NEXT(fallocate)(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
	return fd_fails(fd) ? errno : NEXT(posix_fallocate)(fd, offset, size);
}

int fsync(int fd)
{
	return fd_fails(fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	return fd_fails(fd) ? -1 : NEXT(fdatasync)(fd);
}

int open(const char *path, int flags, ...)
{
	va_list rest;
	mode_t mode = 0;

	va_start(rest, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(rest, mode_t);
	va_end(rest);
	if (fails(FILES) || (flags & O_CREAT && name_fails(AT_FDCWD, path)))
		return -1;
	return NEXT(open)(path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...)
{
	va_list rest;
	mode_t mode = 0;

	va_start(rest, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(rest, mode_t);
	va_end(rest);
	if (fails(FILES) || (flags & O_CREAT && name_fails(directory, path)))
		return -1;
	return NEXT(openat)(directory, path, flags, mode);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
	return name_fails(directory, path) ? -1 : NEXT(mkdirat)(directory, path, mode);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	return name_fails(to_directory, to) ? -1 : NEXT(renameat)(from_directory, from, to_directory, to);
}

int unlinkat(int directory, const char *path, int flags)
{
	return name_fails(directory, path) ? -1 : NEXT(unlinkat)(directory, path, flags);
}

/* The same with 64 bits, which all have that this is built for. */
_Static_assert(sizeof(off_t) == sizeof(off64_t), "one function for both names");
#define SAME_AS(function) __attribute__((alias(#function)))
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) SAME_AS(pwrite);
int ftruncate64(int fd, off64_t size) SAME_AS(ftruncate);
int fallocate64(int fd, int mode, off64_t offset, off64_t size) SAME_AS(fallocate);
int posix_fallocate64(int fd, off64_t offset, off64_t size) SAME_AS(posix_fallocate);
int open64(const char *path, int flags, ...) SAME_AS(open);
int openat64(int directory, const char *path, int flags, ...) SAME_AS(openat);

/* --- files and sockets --- */

int socket(int domain, int type, int protocol)
{
	return fails(FILES) ? -1 : NEXT(socket)(domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
	return fails(FILES) ? -1 : NEXT(socketpair)(domain, type, protocol, ends);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags)
{
	return fails(FILES) ? -1 : NEXT(accept4)(fd, address, length, flags);
}

int pipe2(int ends[2], int flags)
{
	return fails(FILES) ? -1 : NEXT(pipe2)(ends, flags);
}

int eventfd(unsigned int value, int flags)
{
	return fails(FILES) ? -1 : NEXT(eventfd)(value, flags);
}

int memfd_create(const char *name, unsigned int flags)
{
	return fails(FILES) ? -1 : NEXT(memfd_create)(name, flags);
}

int pidfd_open(pid_t pid, unsigned int flags)
{
	return fails(FILES) ? -1 : NEXT(pidfd_open)(pid, flags);
}

/* --- processes --- */

pid_t fork(void)
{
	return fails(PROCESSES) ? -1 : NEXT(fork)();
}

int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
		char *const environment[restrict])
{
	return fails(PROCESSES) ? errno : NEXT(posix_spawn)(pid, path, actions, attributes, argv, environment);
}
