/* What qosid-script gives up; see sandbox.h. */
#include "script/sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system calls of this architecture are not listed here"
#endif

/* The engine reserves 8 GiB of addresses, so that an index cannot leave them; little of it is ever memory. */
#define RESERVED_BYTES (9ull << 30)
#define OWN_BYTES (96ull << 20) /* of this program beside the engine's memory: a line and its answer */

static int limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit both = {value, value};

	return setrlimit(resource, &both);
}

int sandbox_limit(unsigned memory_mib)
{
	rlim_t memory = (rlim_t)memory_mib << 20;

	if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0)
		return -1;
	if (limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_FSIZE, 0) < 0 || limit(RLIMIT_NPROC, 0) < 0 ||
	    limit(RLIMIT_NOFILE, STDERR_FILENO + 1) < 0 || limit(RLIMIT_MEMLOCK, 0) < 0)
		return -1;
	if (limit(RLIMIT_AS, RESERVED_BYTES + memory + OWN_BYTES) < 0 || limit(RLIMIT_DATA, memory + OWN_BYTES) < 0)
		return -1;
	return 0;
}

/* BPF reads the number of the call and compares it with each in turn. */
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int sandbox_seal(void)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    ALLOW(read),
	    ALLOW(write),
	    ALLOW(mmap),
	    ALLOW(munmap),
	    ALLOW(mremap),
	    ALLOW(mprotect),
	    ALLOW(madvise),
	    ALLOW(brk),
	    ALLOW(setitimer),
	    ALLOW(clock_gettime), /* where the kernel's shared page does not serve it */
	    ALLOW(rt_sigreturn),
	    ALLOW(restart_syscall), /* read() again after a stop and a continue */
	    ALLOW(exit_group),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

void sandbox_arm(unsigned seconds)
{
	struct itimerval timer = {.it_value = {.tv_sec = seconds}};

	(void)setitimer(ITIMER_PROF, &timer, NULL); /* the parent ends us as well */
}
