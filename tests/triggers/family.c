/* A process calls work() three times, its forked child five times and its vfork child seven times, which ends first. */
#include <sys/wait.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(void)
{
	pid_t child;

	wait_for_go();
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 5; i++)
			work();
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		return 1;
	child = vfork();
	if (child == 0) {
		for (int i = 0; i < 7; i++)
			work();
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		return 1;
	for (int i = 0; i < 3; i++)
		work();
	return 0;
}
