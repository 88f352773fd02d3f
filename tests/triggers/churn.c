/* Threads that live for one call: THREADS of them, a few at a time. */
#include "trigger.h"
#include <pthread.h>

enum { AT_ONCE = 8 };

NOINLINE long probed(long n)
{
	return n + 1;
}

static void *work(void *n)
{
	return (void *)probed((long)n);
}

int main(int argc, char **argv)
{
	long threads = argc > 1 ? atol(argv[1]) : 100, first, i;
	pthread_t made[AT_ONCE];
	void *result;

	wait_for_go();
	for (first = 0; first < threads; first += AT_ONCE) {
		for (i = 0; i < AT_ONCE; i++)
			if (pthread_create(&made[i], NULL, work, (void *)(first + i)))
				return 2;
		for (i = 0; i < AT_ONCE; i++) {
			pthread_join(made[i], &result);
			if ((long)result != first + i + 1)
				return 1;
		}
	}
	return 0;
}
