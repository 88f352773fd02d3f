/* SIGTRAP as the program sees it: ignored, blocked, handled, or by default. Prints what sigaction and sigprocmask say after
 * each call of the probed function, and does what the argument names. */
#include "trigger.h"
#include <signal.h>
#include <string.h>

static volatile int handled;

NOINLINE long probed(long n)
{
	return n + 1;
}

static volatile long sum;

static void handler(int number, siginfo_t *info, void *context)
{
	handled++;
	if (info->si_code == SI_QUEUE)
		sum += info->si_value.sival_int;
}

static void say(const char *when)
{
	struct sigaction action;
	sigset_t mask;

	probed(1);
	sigaction(SIGTRAP, NULL, &action);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	printf("%s: %s%s\n", when,
	       action.sa_handler == SIG_IGN   ? "ignored"
	       : action.sa_handler == SIG_DFL ? "default"
					      : "handled",
	       sigismember(&mask, SIGTRAP) ? " blocked" : "");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int before = argc > 2;
	int once = strchr(argv[1], 'o') ? SA_RESETHAND : 0;
	sigset_t trap;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	if (before)
		wait_for_go();
	if (strchr(argv[1], 'i'))
		signal(SIGTRAP, SIG_IGN);
	if (strchr(argv[1], 'h'))
		sigaction(SIGTRAP, &(struct sigaction){.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART | once}, NULL);
	if (strchr(argv[1], 'b'))
		sigprocmask(SIG_BLOCK, &trap, NULL);
	if (!before)
		wait_for_go();
	say("first");
	if (strchr(argv[1], 'r')) {
		raise(SIGTRAP);
		say("raised");
	}
	if (strchr(argv[1], 'q')) {
		sigqueue(getpid(), SIGTRAP, (union sigval){.sival_int = 7});
		say("queued");
	}
	if (strchr(argv[1], '3')) {
		asm volatile("int3");
		say("int3");
	}
	if (strchr(argv[1], 'R'))
		raise(SIGTRAP);
	if (strchr(argv[1], 'b')) {
		probed(2);
		sigprocmask(SIG_UNBLOCK, &trap, NULL);
		say("unblocked");
	}
	if (sum)
		printf("sum %ld\n", sum);
	printf("handled %d\n", handled);
	fflush(stdout);
	if (strchr(argv[1], 'w')) {
		char byte;

		return read(STDIN_FILENO, &byte, 1) != 1;
	}
	return 0;
}
