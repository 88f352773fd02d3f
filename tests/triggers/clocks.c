/* mark(CPU) is called at the start, after SPIN_NS on the processor, and after SLEEP_NS of sleep; CPU is the thread's own time
 * on processors so far, in nanoseconds. */
#include <time.h>
#include "trigger.h"

enum { SPIN_NS = 30000000, SLEEP_NS = 100000000 };

NOINLINE void mark(long cpu) { __asm__ volatile("" : : "r"(cpu) : "memory"); }

static long on_cpu(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

int main(void)
{
	struct timespec sleep = {0, SLEEP_NS};
	long start;

	wait_for_go();
	mark(start = on_cpu());
	while (on_cpu() - start < SPIN_NS)
		;
	mark(on_cpu());
	nanosleep(&sleep, NULL);
	mark(on_cpu());
	return 0;
}
