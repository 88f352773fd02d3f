/* eight_threads N: eight threads call work(thread, i) N times each, at once. Prints nothing. */
#include <pthread.h>
#include "trigger.h"

enum { THREADS = 8 };

static long calls;
static volatile long sink[THREADS];

NOINLINE long work(long thread, long i) { return thread * i; }

static void *run(void *argument)
{
	long thread = (long)argument;

	for (long i = 0; i < calls; i++)
		sink[thread] += work(thread, i);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	calls = argc > 1 ? atol(argv[1]) : 1000;
	wait_for_go();
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)i) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
