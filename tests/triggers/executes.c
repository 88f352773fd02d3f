/* A process calls work() twice, then executes itself anew and calls it five times more. */
#include <string.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(int argc, char **argv)
{
	if (argc > 1) {
		for (int i = 0; i < 5; i++)
			work();
		return 0;
	}
	wait_for_go();
	work();
	work();
	execl("/proc/self/exe", argv[0], "again", NULL);
	return 1;
}
