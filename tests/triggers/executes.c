/* A process calls work() twice, then executes itself anew and calls it five times more; with `sandboxed` as its argument
 * under a seccomp filter that allows everything. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

static int enter_sandbox(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog filter = {1, &allow};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int argc, char **argv)
{
	int sandboxed = argc > 1 && strcmp(argv[1], "sandboxed") == 0;

	if (argc > 1 && !sandboxed) {
		for (int i = 0; i < 5; i++)
			work();
		return 0;
	}
	wait_for_go();
	work();
	work();
	if (sandboxed && enter_sandbox())
		return 1;
	execl("/proc/self/exe", argv[0], "again", NULL);
	return 1;
}
