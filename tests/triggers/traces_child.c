/* A debugger that starts its programs as gdb does: a child of vfork asks to be traced and executes. Another thread calls the
 * probed function meanwhile. With "stops" the child, made by clone, waits in our memory for its tracer before it executes. */
#define _GNU_SOURCE
#include "trigger.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static char **again;
static volatile int over;
static long calls;

NOINLINE long probed(long n)
{
	return n + 1;
}

static void *other(void *unused)
{
	(void)unused;
	for (; !over; calls++)
		probed(calls);
	return NULL;
}

NOINLINE int become_traced(void *stops)
{
	probed(1);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	probed(2);
	if (stops)
		raise(SIGSTOP);
	probed(3);
	execv(again[0], again);
	_exit(2);
}

static void trace(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		printf("stopped by %d\n", WSTOPSIG(status));
		ptrace(PTRACE_CONT, child, NULL, NULL);
	}
	printf("%s %d\n", WIFEXITED(status) ? "exited" : "killed", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int main(int argc, char **argv)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	struct sigaction action;
	pthread_t thread;
	pid_t child;
	int i, stops = argc > 1 && strcmp(argv[1], "stops") == 0;

	if (argc > 1 && strcmp(argv[1], "again") == 0) {
		sigaction(SIGTRAP, NULL, &action);
		return action.sa_handler == SIG_IGN ? 8 : action.sa_handler == SIG_DFL ? 7 : 1;
	}
	if (argc > 1 && strcmp(argv[1], "ignores") == 0)
		signal(SIGTRAP, SIG_IGN);
	wait_for_go();
	unsetenv("TRIGGER_WAIT");
	again = (char *[]){argv[0], "again", NULL};
	pthread_create(&thread, NULL, other, NULL);
	for (i = 0; i < 3; i++) {
		child = stops ? clone(become_traced, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)1) : vfork();
		if (child == 0)
			become_traced(NULL);
		trace(child);
	}
	over = 1;
	pthread_join(thread, NULL);
	printf("calls %ld\n", calls);
	return 0;
}
