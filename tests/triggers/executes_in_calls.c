/* While the first thread sets a handler again and again, which a tracer looks at, another one executes the program anew,
 * as often as the first argument says. Prints `done` in the end. */
#include <pthread.h>
#include <signal.h>
#include "trigger.h"

static char **arguments;
static int left;

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

static void on_user(int number) { (void)number; }

static void *execute(void *unused)
{
	static char number[16];

	(void)unused;
	usleep(20000 + left * 37 % 17 * 211);
	snprintf(number, sizeof number, "%d", left - 1);
	arguments[1] = number;
	execv("/proc/self/exe", arguments);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_user};
	pthread_t made;

	arguments = argv;
	left = argc > 1 ? atoi(argv[1]) : 0;
	if (left == 0)
		return puts("done") < 0;
	sigfillset(&action.sa_mask);
	if (pthread_create(&made, NULL, execute, NULL) != 0)
		return 1;
	for (;;) {
		work();
		sigaction(SIGUSR1, &action, NULL);
	}
}
