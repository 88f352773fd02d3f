/* Threads that wait for signals: each SIGRTMIN calls the probed function, and is counted. At each further byte on standard
 * input as soon as as many have come as that says (its value times ten), prints `all`. */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static volatile long come;

NOINLINE long probed(long n)
{
	return n + 1;
}

static void on_signal(int number)
{
	probed(number);
	__sync_fetch_and_add(&come, 1);
}

static void *wait_for_signals(void *unused)
{
	for (;;)
		pause();
	return NULL;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	unsigned char tens;
	pthread_t thread;
	int n;

	sigaction(SIGRTMIN, &action, NULL);
	for (n = 0; n < 3; n++)
		pthread_create(&thread, NULL, wait_for_signals, NULL);
	wait_for_go();
	while (read(STDIN_FILENO, &tens, 1) == 1) {
		while (come < tens * 10)
			usleep(1000);
		printf("%s\n", come == tens * 10 ? "all" : "too many");
		fflush(stdout);
	}
	return 0;
}
