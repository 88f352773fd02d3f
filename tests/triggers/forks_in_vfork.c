/* Waits for its child of vfork, which makes children of its own, that call work() and end, until a byte comes. */
#include <poll.h>
#include <sys/wait.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(void)
{
	struct pollfd go = {.fd = STDIN_FILENO, .events = POLLIN};
	pid_t child = vfork();

	if (child == 0) {
		wait_for_go();
		while (poll(&go, 1, 0) == 0) {
			pid_t grandchild = fork();

			if (grandchild == 0) {
				work();
				_exit(0);
			}
			if (grandchild < 0 || waitpid(grandchild, NULL, 0) != grandchild)
				_exit(1);
		}
		_exit(0);
	}
	return child < 0 || waitpid(child, NULL, 0) != child;
}
