/* A process and a child of its that has the same memory, and is no thread, both call work() until they are killed. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include "trigger.h"

NOINLINE long work(long n) { return n + 1; }

static int work_for_ever(void *unused)
{
	(void)unused;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (long n = 0;;)
		if (work(n) != ++n)
			_exit(1);
}

int main(void)
{
	static char stack[1 << 16] __attribute__((aligned(16)));

	if (clone(work_for_ever, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL) < 0)
		return 1;
	wait_for_go();
	return work_for_ever(NULL);
}
