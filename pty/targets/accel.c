// SPDX-License-Identifier: Apache-2.0
#include "pty/targets/accel.h"
#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 36
#define ROM_SIZE 65536 /* ends at 4 GiB */
#define CPU_LIMIT 1    /* second */
#define TIME_LIMIT 5000
#define EXIT_DONE 3 /* what isa-debug-exit makes of the 1 that it is told: 2n + 1 */

struct verdict {
	bool kvm, lasting; /* lasting: until the host boots again */
	const char *reason;
};

/*
 * The last 256 bytes of the ROM, at 0xffffff00. An x86 begins at 0xfffffff0, in real mode, which some KVMs that are
 * good otherwise do by hand; so the loop runs in protected mode.
 */
static const uint8_t program[256] = {
	0xfa,                                                    /* cli */
	0x2e,          0x66, 0x0f, 0x01, 0x16, 0x28, 0xff,       /* lgdtl %cs:0xff28 */
	0x0f,          0x20, 0xc0,                               /* mov %cr0, %eax */
	0x0c,          0x01,                                     /* or $1, %al */
	0x0f,          0x22, 0xc0,                               /* mov %eax, %cr0 */
	0x66,          0xea, 0x18, 0xff, 0xff, 0xff, 0x08, 0x00, /* ljmpl $8, $0xffffff18 */
	0xb9,          0x40, 0x4b, 0x4c, 0x00,                   /* 18: mov $5000000, %ecx */
	0x49,                                                    /* 1d: dec %ecx */
	0x75,          0xfd,                                     /* jnz 1d */
	0xb0,          0x01,                                     /* mov $1, %al */
	0xe6,          0xf4,                                     /* out %al, $0xf4 */
	0xf4,                                                    /* hlt */
	[0x28] = 0x0f, 0x00, 0x30, 0xff, 0xff, 0xff,             /* the table's limit and address */
	[0x38] = 0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0,    /* its entry 8: code, all of 4 GiB, 32 bits */
	[0xf0] = 0xe9, 0x0d, 0xff,                               /* jmp 00 */
};

static int make_rom(void)
{
	cleanup_close int fd =
		memfd_create("consoled-accel", 0); // NOLINT(android-cloexec-memfd-create): QEMU inherits it

	if (fd < 0 || pwrite(fd, program, sizeof(program), ROM_SIZE - sizeof(program)) != sizeof(program))
		return -EIO;
	return move_fd(&fd);
}

/* The child: never returns. */
static void run(const char *qemu, int rom, pid_t parent)
{
	const struct rlimit limit = {CPU_LIMIT, CPU_LIMIT + 1}; /* SIGXCPU; SIGKILL would be somebody else's */
	const struct rlimit none = {0, 0};
	char path[32];

	snprintf(path, sizeof(path), "/dev/fd/%d", rom);
	prctl(PR_SET_PDEATHSIG, (long)SIGKILL, 0L, 0L, 0L);
	setrlimit(RLIMIT_CORE, &none);
	if (getppid() == parent && setrlimit(RLIMIT_CPU, &limit) == 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
		execlp(qemu, qemu, "-accel", "kvm", "-cpu", "max", "-M", "pc", "-m", "1", "-nodefaults",
		       "-no-user-config", "-display", "none", "-bios", path, "-device",
		       "isa-debug-exit,iobase=0xf4,iosize=1", NULL);
	_exit(127);
}

/* Waits for its end, and sees to it. -ETIME: it was killed after TIME_LIMIT. */
static int await(pid_t pid, int *status)
{
	cleanup_close int pidfd = pidfd_open(pid, 0);
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	int r = pidfd >= 0 && poll(&poll_fd, 1, TIME_LIMIT) == 1 ? 0 : -ETIME;

	if (r < 0)
		kill(pid, SIGKILL);
	waitpid(pid, status, 0);
	return r;
}

static struct verdict try(const char *qemu)
{
	cleanup_close int rom = make_rom();
	pid_t parent = getpid(), pid = rom < 0 ? -1 : fork();
	int status = 0, r;

	if (pid == 0)
		run(qemu, rom, parent);
	if (pid < 0)
		return (struct verdict){.reason = "KVM could not be tried"};
	r = await(pid, &status);
	if (r < 0)
		return (struct verdict){.reason = "this machine is too busy to try KVM"};
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return (struct verdict){.lasting = true, .reason = "KVM is here, but too slow to be of use"};
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DONE)
		return (struct verdict){.kvm = true, .lasting = true, .reason = "KVM works"};
	return (struct verdict){.reason = "KVM was tried and failed"};
}

/* What an earlier trial has found, if that was since the host's boot. */
static bool recall(int cache, const char *boot, struct verdict *verdict)
{
	char text[BOOT_ID_LENGTH + 4];

	if (pread(cache, text, sizeof(text), 0) != sizeof(text) || memcmp(text, boot, BOOT_ID_LENGTH) != 0)
		return false;
	*verdict = memcmp(text + BOOT_ID_LENGTH, " kvm", 4) == 0
			   ? (struct verdict){.kvm = true, .reason = "KVM works, as was found earlier"}
			   : (struct verdict){.reason = "KVM is too slow to be of use, as was found earlier"};
	return true;
}

/* In one piece, or the next who looks tries anew. */
static void remember(int cache, const char *boot, const struct verdict *verdict)
{
	char line[BOOT_ID_LENGTH + 8];
	int length = snprintf(line, sizeof(line), "%.*s %s\n", BOOT_ID_LENGTH, boot, verdict->kvm ? "kvm" : "tcg");

	if (ftruncate(cache, 0) == 0)
		(void)!pwrite(cache, line, (size_t)length, 0);
}

static bool read_boot_id(char boot[BOOT_ID_LENGTH])
{
	cleanup_close int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, boot, BOOT_ID_LENGTH) == BOOT_ID_LENGTH;
}

static struct verdict judge(const char *qemu, const char *path, const char *cache)
{
	cleanup_close int device = open(path, O_RDWR | O_CLOEXEC), file = -1;
	struct verdict verdict = {0};
	char boot[BOOT_ID_LENGTH];

	if (device < 0)
		return (struct verdict){.reason = errno == EACCES ? "KVM may not be opened" : "there is no KVM"};
	file = open(cache, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0 || flock(file, LOCK_EX) < 0 || !read_boot_id(boot))
		return try(qemu);
	if (!recall(file, boot, &verdict)) {
		verdict = try(qemu);
		if (verdict.lasting)
			remember(file, boot, &verdict);
	}
	return verdict;
}

void accel_resolve(char **argv, const char *device, const char *cache)
{
	static char kvm[] = "kvm", tcg[] = "tcg";
	struct verdict verdict;
	size_t i = 0;

	while (argv[i] && argv[i + 1] && (strcmp(argv[i], "-accel") != 0 || strcmp(argv[i + 1], "auto") != 0))
		i++;
	if (!argv[i] || !argv[i + 1])
		return;
	verdict = judge(argv[0], device, cache);
	argv[i + 1] = verdict.kvm ? kvm : tcg;
	dprintf(STDERR_FILENO, ACCEL_PREFIX "consoled.accel=auto is %s: %s\n", argv[i + 1], verdict.reason);
}
