/* Waits for its child of vfork, which waits for a byte; then calls work() three times. */
#include <sys/wait.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(void)
{
	pid_t child = vfork();

	if (child == 0) {
		wait_for_go();
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		return 1;
	for (int i = 0; i < 3; i++)
		work();
	return write(STDOUT_FILENO, "done\n", 5) != 5;
}
