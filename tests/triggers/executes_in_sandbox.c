/* Calls work() twice, then puts itself under a seccomp filter that allows everything, executes itself anew and calls it five
 * times more. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(int argc, char **argv)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog filter = {1, &allow};

	if (argc > 1) {
		for (int i = 0; i < 5; i++)
			work();
		return 0;
	}
	wait_for_go();
	work();
	work();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 1;
	execl("/proc/self/exe", argv[0], "again", NULL);
	return 1;
}
