/* A thread executes the program that the arguments name, while others wait, compute, or, with `leaderless` first, the main
 * thread has ended. */
#include "trigger.h"
#include <pthread.h>
#include <string.h>
#include <unistd.h>

NOINLINE long probed(long n)
{
	return n + 1;
}

static void *compute(void *unused)
{
	for (long n = 0;; n = probed(n))
		;
	return unused;
}

static void *execute(void *program)
{
	char **arguments = program;

	for (int i = 0; i < 100; i++)
		probed(i);
	execv(arguments[0], arguments);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	wait_for_go();
	pthread_create(&thread, NULL, compute, NULL);
	pthread_create(&thread, NULL, execute, argv + 2);
	if (strcmp(argv[1], "leaderless") == 0)
		pthread_exit(NULL);
	if (strcmp(argv[1], "computes") == 0)
		compute(NULL);
	pause();
	return argc;
}
