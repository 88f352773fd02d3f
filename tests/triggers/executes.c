/* A process calls work() twice, then executes itself anew and calls it five times more; with `sandboxed` as its argument
 * under a seccomp filter that allows everything. */
#include <string.h>
#include "sandbox.h"
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

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
