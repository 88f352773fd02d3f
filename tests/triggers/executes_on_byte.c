/* Three threads: two wait for ever, the third for a byte, then it executes `sleep`. */
#include <pthread.h>
#include "trigger.h"

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void *execute(void *unused)
{
	char byte;

	if (read(STDIN_FILENO, &byte, 1) == 1)
		execl("/bin/sleep", "sleep", "100", NULL);
	return unused;
}

int main(void)
{
	pthread_t made;

	wait_for_go();
	pthread_create(&made, NULL, wait_for_ever, NULL);
	pthread_create(&made, NULL, execute, NULL);
	wait_for_ever(NULL);
	return 0;
}
