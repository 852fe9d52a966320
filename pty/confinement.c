// SPDX-License-Identifier: Apache-2.0
#include "pty/confinement.h"
#include "util/privilege.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

#define FILTER_MAX 256
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define HIGH_NUMBERS 0x40000000 /* x32's, and nobody's */

/* Of the loop in keeper.c, the wire, the ring, malloc(3) and the way out. */
static const int common[] = {
	SYS_read,         SYS_write,           SYS_close,
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_ppoll,        SYS_recvfrom,        SYS_recvmsg, SYS_sendmsg,      SYS_accept4,        SYS_getsockopt,
	SYS_geteuid,      SYS_clock_gettime, /* where the vdso has no clock */
	SYS_brk,          SYS_munmap,          SYS_mremap,  SYS_madvise,      SYS_getrandom,      SYS_futex,
	SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit,    SYS_exit_group,
#ifdef CONSOLED_INSTRUMENTED /* what sanitizers do beside us, and a record of coverage at the end */
	SYS_openat,       SYS_fcntl,           SYS_fstat,   SYS_newfstatat,   SYS_lseek,          SYS_getpid,
	SYS_gettid,       SYS_mprotect,        SYS_prctl,   SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sched_yield,
	SYS_sigaltstack,
#endif
};

/* No way to anything that a keeper is for leads over these. */
static const int fatal[] = {
	SYS_execve,       SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
	SYS_socket,       SYS_connect,  SYS_mount,  SYS_init_module,      SYS_bpf,
	SYS_finit_module, SYS_setns,    SYS_setuid, SYS_unshare,
};

struct filter {
	unsigned short length;
	struct sock_filter code[FILTER_MAX];
};

static void add(struct filter *filter, struct sock_filter instruction)
{
	if (filter->length < FILTER_MAX)
		filter->code[filter->length] = instruction;
	filter->length++;
}

static void load(struct filter *filter, size_t offset)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void load_argument(struct filter *filter, int number)
{
	/* The lower half, which is first where it is little-endian, as all our architectures are. */
	load(filter, offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (size_t)number);
}

static void end(struct filter *filter, uint32_t verdict)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

/* If the value that was loaded last is (BPF_JEQ), or has any bit of (BPF_JSET), or is at least (BPF_JGE) `value`. */
static void end_if(struct filter *filter, unsigned short how, uint32_t value, uint32_t verdict)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | how | BPF_K, value, 0, 1));
	end(filter, verdict);
}

/* Skips `count` instructions unless the value that was loaded last is `number`. */
static void skip_unless(struct filter *filter, int number, size_t count)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, (uint8_t)count));
}

static void allow_each(struct filter *filter, const int *calls)
{
	for (; *calls >= 0; calls++)
		end_if(filter, BPF_JEQ, (uint32_t)*calls, SECCOMP_RET_ALLOW);
}

static void allow_ioctl(struct filter *filter, const unsigned long *requests)
{
	size_t count = 0;

	while (requests[count])
		count++;
	skip_unless(filter, SYS_ioctl, 2 * count + 2);
	load_argument(filter, 1);
	for (; *requests; requests++)
		end_if(filter, BPF_JEQ, (uint32_t)*requests, SECCOMP_RET_ALLOW);
	end(filter, DENY);
}

/* Memory, but not such as could be executed. */
static void allow_mmap(struct filter *filter)
{
	skip_unless(filter, SYS_mmap, 4);
	load_argument(filter, 2);
	end_if(filter, BPF_JSET, PROT_EXEC, DENY);
	end(filter, SECCOMP_RET_ALLOW);
}

#ifdef ARCHITECTURE

static void write_filter(struct filter *filter, const struct confinement *confinement)
{
	load(filter, offsetof(struct seccomp_data, arch));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
	end(filter, SECCOMP_RET_KILL_PROCESS);
	load(filter, offsetof(struct seccomp_data, nr));
	end_if(filter, BPF_JGE, HIGH_NUMBERS, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		end_if(filter, BPF_JEQ, (uint32_t)common[i], SECCOMP_RET_ALLOW);
	allow_each(filter, confinement->calls);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		end_if(filter, BPF_JEQ, (uint32_t)fatal[i], SECCOMP_RET_KILL_PROCESS);
	allow_ioctl(filter, confinement->requests);
	allow_mmap(filter);
	end(filter, DENY);
}

static int filter_calls(const struct confinement *confinement)
{
	struct filter filter = {0};
	struct sock_fprog program = {.filter = filter.code};

	write_filter(&filter, confinement);
	if (filter.length > FILTER_MAX)
		return -E2BIG;
	program.len = filter.length;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program) < 0 ? -errno : 0;
}

#else

static int filter_calls(const struct confinement *confinement)
{
	return -ENOSYS;
}

#endif

int confine(const struct confinement *confinement)
{
	int r = privilege_keep(confinement->privileges);

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		r = -errno;
	if (r == 0)
		r = filter_calls(confinement);
	return r == -ENOSYS || r == -EINVAL ? 0 : r; /* this kernel has no filters */
}

#ifdef CONSOLED_INSTRUMENTED
/* LeakSanitizer looks by ptrace(2), from a process of its own: see lsan_interface.h. */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) == 1;
}
#endif
