/* A handler for SIGUSR1 that has all signals blocked: set, and called, before the program is traced or while it is, or the
 * handler waits meanwhile (`inside`). Prints whether the handler's mask and the program's have SIGTRAP, while traced and, after
 * another byte, afterwards. */
#include "trigger.h"
#include <signal.h>
#include <string.h>

static int waits;

NOINLINE long probed(long n)
{
	return n + 1;
}

static void on_user(int number)
{
	if (waits)
		wait_for_go();
	probed(number);
}

static void say(void)
{
	struct sigaction action;
	sigset_t mask;

	probed(1);
	sigaction(SIGUSR1, NULL, &action);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	printf("handler %d, program %d\n", sigismember(&action.sa_mask, SIGTRAP), sigismember(&mask, SIGTRAP));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_user};
	char byte;

	waits = strcmp(argv[1], "inside") == 0;
	if (strcmp(argv[1], "while") == 0)
		wait_for_go();
	sigfillset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	if (strcmp(argv[1], "before") == 0)
		wait_for_go();
	raise(SIGUSR1);
	say();
	if (read(STDIN_FILENO, &byte, 1) != 1)
		return 1;
	say();
	return 0;
}
