/* A child that shares the memory and that the kernel lets nobody trace from birth on calls the probed function. */
#define _GNU_SOURCE
#include "trigger.h"
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

NOINLINE long probed(long n)
{
	return n + 1;
}

static int child(void *unused)
{
	(void)unused;
	_exit(probed(3) == 4 ? 4 : 1);
}

int main(void)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	char byte;
	int status;
	pid_t pid;

	wait_for_go();
	probed(1);
	pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_UNTRACED | SIGCHLD, NULL);
	waitpid(pid, &status, 0);
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	fflush(stdout);
	return read(STDIN_FILENO, &byte, 1) != 1 || probed(5) != 6;
}
