/* Waits for its child of vfork, which waits for a byte, and executes the program that the arguments name, if there are
 * any; then calls work() three times. */
#include <sys/wait.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(int argc, char **argv)
{
	pid_t child = vfork();

	if (child == 0) {
		wait_for_go();
		if (argc > 1)
			execv(argv[1], argv + 1);
		_exit(argc > 1);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		return 1;
	for (int i = 0; i < 3; i++)
		work();
	return write(STDOUT_FILENO, "done\n", 5) != 5;
}
