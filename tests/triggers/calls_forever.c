/* Calls work(0), work(1), … N times, or until a byte on its standard input tells it to stop (N is -1); then prints how often.
 * With `killed` as second argument it then kills itself instead. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include "trigger.h"

NOINLINE long work(long n) { return n + 1; }

static int told_to_stop(void)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};

	return poll(&input, 1, 0) != 0;
}

int main(int argc, char **argv)
{
	long most = argc > 1 ? atol(argv[1]) : -1;
	long n = 0;

	wait_for_go();
	while (n != most && !(most < 0 && n % 64 == 0 && told_to_stop()))
		if (work(n) != ++n)
			return 1;
	if (argc > 2 && strcmp(argv[2], "killed") == 0)
		raise(SIGKILL);
	printf("called %ld\n", n);
	return 0;
}
