/* Waits for SIGUSR1 in the call named, which blocks every other signal as long as it waits. The handler waits for a byte
 * before it calls the probed function. Prints which of SIGUSR1, SIGUSR2 and SIGTRAP the handler returns to as blocked,
 * and which are blocked afterwards. */
#define _GNU_SOURCE
#include "trigger.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <ucontext.h>

NOINLINE long probed(long n)
{
	return n + 1;
}

static void say(const char *when, const sigset_t *mask)
{
	printf("%s: %d %d %d\n", when, sigismember(mask, SIGUSR1), sigismember(mask, SIGUSR2),
	       sigismember(mask, SIGTRAP));
	fflush(stdout);
}

static void on_user(int number, siginfo_t *info, void *context)
{
	char byte;

	say("handler", &((ucontext_t *)context)->uc_sigmask);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		_exit(1);
	probed(1);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_user, .sa_flags = SA_SIGINFO};
	struct epoll_event event;
	sigset_t all, user, mask;

	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&user);
	sigaddset(&user, SIGUSR1);
	sigprocmask(SIG_BLOCK, &user, NULL);
	sigfillset(&all);
	sigdelset(&all, SIGUSR1);
	wait_for_go();
	raise(SIGUSR1);
	if (strcmp(argv[1], "sigsuspend") == 0)
		sigsuspend(&all);
	else if (strcmp(argv[1], "ppoll") == 0)
		ppoll(NULL, 0, NULL, &all);
	else if (strcmp(argv[1], "pselect") == 0)
		pselect(0, NULL, NULL, NULL, NULL, &all);
	else
		epoll_pwait(epoll_create1(0), &event, 1, -1, &all);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	say("program", &mask);
	return 0;
}
