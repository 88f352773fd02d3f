/* Waits in sigsuspend() for SIGUSR2 with all other signals blocked, as garbage collectors have threads wait, and calls probed()
 * in the handler. Says `suspended` before it waits, each time, and afterwards how often probed() was called, and whether
 * SIGTRAP is still in the set that it has handed over. Ends at its third wait. */
#include "trigger.h"
#include <signal.h>

static volatile long called;

NOINLINE void probed(void)
{
	called++;
}

static void on_user(int number)
{
	(void)number;
	probed();
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_user};
	sigset_t own, others;

	sigfillset(&action.sa_mask);
	sigaction(SIGUSR2, &action, NULL);
	sigemptyset(&own);
	sigaddset(&own, SIGUSR2);
	sigprocmask(SIG_BLOCK, &own, NULL);
	sigfillset(&others);
	sigdelset(&others, SIGUSR2);
	wait_for_go();
	for (int n = 0; n < 3; n++) {
		puts("suspended");
		fflush(stdout);
		sigsuspend(&others);
		printf("called %ld, set %d\n", called, sigismember(&others, SIGTRAP));
		fflush(stdout);
	}
	return 0;
}
