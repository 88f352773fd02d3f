/* The main thread calls work() once and exits; another one waits for that and calls it nine times. */
#include "trigger.h"
#include <pthread.h>

static pthread_t main_thread;

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

static void *outlive(void *unused)
{
	(void)unused;
	pthread_join(main_thread, NULL);
	for (int i = 0; i < 9; i++)
		work();
	_exit(0);
}

int main(void)
{
	pthread_t other;

	main_thread = pthread_self();
	wait_for_go();
	work();
	if (pthread_create(&other, NULL, outlive, NULL) != 0)
		return 1;
	pthread_exit(NULL);
}
