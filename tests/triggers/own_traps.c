/* own_traps THREADS TRAPS: each thread executes TRAPS int3s of the program's own, which its SIGTRAP handler counts, while
 * main makes threads, for which the C library blocks every signal. Prints how many were handled. */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>

static volatile long handled, busy;
static long traps;

NOINLINE void probed(void)
{
	asm volatile("");
}

static void on_trap(int number)
{
	__sync_fetch_and_add(&handled, 1);
}

static void *trap(void *unused)
{
	long n;

	for (n = 0; n < traps; n++) {
		asm volatile("int3");
		probed();
	}
	__sync_fetch_and_sub(&busy, 1);
	return NULL;
}

static void *nothing(void *unused)
{
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = argc > 1 ? atol(argv[1]) : 2, n;
	pthread_t trapping[64], other;

	traps = argc > 2 ? atol(argv[2]) : 100;
	signal(SIGTRAP, on_trap);
	wait_for_go();
	busy = threads;
	for (n = 0; n < threads; n++)
		pthread_create(&trapping[n], NULL, trap, NULL);
	while (busy) {
		pthread_create(&other, NULL, nothing, NULL);
		pthread_join(other, NULL);
	}
	for (n = 0; n < threads; n++)
		pthread_join(trapping[n], NULL);
	printf("handled %ld\n", handled);
	return 0;
}
