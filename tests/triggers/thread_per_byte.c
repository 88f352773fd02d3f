/* For each byte that it reads creates a thread, which calls work(), waits for its end, and prints a line; ends with 0 at
 * the end of its input. While a thread is created or ends, the C library has all signals blocked. */
#include <pthread.h>
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

static void *run(void *unused)
{
	work();
	return unused;
}

int main(void)
{
	pthread_t thread;
	char byte;

	wait_for_go();
	while (read(STDIN_FILENO, &byte, 1) == 1)
		if (pthread_create(&thread, NULL, run, NULL) != 0 || pthread_join(thread, NULL) != 0 ||
		    write(STDOUT_FILENO, "joined\n", 7) != 7)
			return 1;
	return 0;
}
