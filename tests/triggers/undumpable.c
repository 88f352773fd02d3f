/*
 * Forbids other processes of its user to look into it; then says that it is ready again, where that is wanted in a child
 * of vfork, and calls work(). Or: makes children of each kind, which call it too; or executes another program.
 */
#define _GNU_SOURCE
#include "trigger.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

NOINLINE long work(long n) { return n + 1; }
NOINLINE long rest(long n) { return n + 2; }

static int is_as_it_was(void)
{
	struct sigaction action;

	sigaction(SIGTRAP, NULL, &action);
	return action.sa_handler == SIG_DFL && prctl(PR_GET_DUMPABLE) == 0;
}

static int status_of(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void *works(void *unused)
{
	(void)unused;
	return (void *)work(1);
}

static int cloned(void *unused)
{
	(void)unused;
	return rest(3) == 5 && work(3) == 4 ? 5 : 1;
}

static void make_children(char *program)
{
	char *again[] = {program, "again", NULL};
	static char stack[65536] __attribute__((aligned(16)));
	pthread_t thread;
	pid_t child;

	child = fork();
	if (child == 0)
		_exit(rest(1) == 3 && work(2) == 3 && is_as_it_was() ? 3 : 1);
	printf("fork %d\n", status_of(child));
	child = vfork();
	if (child == 0)
		_exit(work(3) == 4 ? 4 : 1);
	printf("vfork %d\n", status_of(child));
	printf("clone %d\n", status_of(clone(cloned, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL)));
	printf("clone of all %d\n", status_of(clone(cloned, stack + sizeof stack, SIGCHLD, NULL)));
	if (posix_spawn(&child, program, NULL, NULL, again, environ))
		exit(1);
	printf("spawn %d\n", status_of(child));
	if (pthread_create(&thread, NULL, works, NULL) || pthread_join(thread, NULL))
		exit(1);
	printf("as it was: %d\n", is_as_it_was());
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	pid_t child;
	int i;

	if (strcmp(what, "again") == 0)
		return work(6) == 7 ? 7 : 1;
	wait_for_go();
	if (prctl(PR_SET_DUMPABLE, 0))
		return 1;
	if (strcmp(what, "children") == 0) {
		for (i = 0; i < 3; i++)
			make_children(argv[0]);
		return 0;
	}
	if (strcmp(what, "executes") == 0) {
		work(1);
		execl(argv[2], argv[2], "done", NULL);
	}
	if (strcmp(what, "vfork") == 0) {
		child = vfork();
		if (child == 0) {
			wait_for_go();
			_exit(0);
		}
		status_of(child);
	} else {
		wait_for_go();
	}
	for (i = 0; i < 3; i++)
		work(i);
	printf("%ld %d\n", rest(5), prctl(PR_GET_DUMPABLE));
	return 0;
}
