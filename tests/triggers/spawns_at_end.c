/* Calls work() once, starts a program that lives longer than itself, and ends. */
#include <spawn.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

int main(void)
{
	char *arguments[] = {"sleep", "0.2", NULL}, *environment[] = {NULL};
	pid_t made;

	wait_for_go();
	work();
	return posix_spawn(&made, "/bin/sleep", NULL, NULL, arguments, environment);
}
