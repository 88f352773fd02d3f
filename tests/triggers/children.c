/* Makes children by fork, vfork and posix_spawn, each of which calls the probed function or executes this program again. */
#define _GNU_SOURCE
#include "trigger.h"
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

NOINLINE long probed(long n)
{
	return n + 1;
}

static int disposition_of_sigtrap_is_default(void)
{
	struct sigaction action;

	sigaction(SIGTRAP, NULL, &action);
	return action.sa_handler == SIG_DFL;
}

static int status_of(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	char *again[] = {argv[0], "again", NULL};
	pid_t child;
	int i;

	if (argc > 1 && strcmp(argv[1], "again") == 0)
		return probed(6) == 7 && disposition_of_sigtrap_is_default() ? 7 : 1;
	wait_for_go();
	unsetenv("TRIGGER_WAIT");
	for (i = 0; i < 5; i++) {
		probed(1);
		child = fork();
		if (child == 0)
			_exit(probed(2) == 3 && disposition_of_sigtrap_is_default() ? 3 : 1);
		printf("fork %d\n", status_of(child));
		child = vfork();
		if (child == 0)
			_exit(probed(3) == 4 ? 4 : 1);
		printf("vfork %d\n", status_of(child));
		child = vfork();
		if (child == 0) {
			probed(4);
			execv(argv[0], again);
			_exit(1);
		}
		printf("vfork and exec %d\n", status_of(child));
		if (posix_spawn(&child, argv[0], NULL, NULL, again, environ))
			return 1;
		printf("spawn %d\n", status_of(child));
		probed(5);
	}
	return 0;
}
