/* Says what it is at each stage of its start, so that a test sees how far it has come; ends with the status given. */
#include "trigger.h"
#include <signal.h>

static int disposition(int number)
{
	struct sigaction action;

	sigaction(number, NULL, &action);
	return action.sa_handler == SIG_IGN;
}

int main(int argc, char **argv)
{
	printf("main pgid=%d sid=%d pipe_ignored=%d int_ignored=%d trap_ignored=%d args=%d\n", getpgrp(), getsid(0),
	       disposition(SIGPIPE), disposition(SIGINT), disposition(SIGTRAP), argc);
	return argc > 1 ? atoi(argv[1]) : 0;
}
