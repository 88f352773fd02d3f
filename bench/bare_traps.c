/* The least that a ptrace tracer can do for an int3: waitpid, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_CONT, on the
 * processor of its tracee. `bare_traps COUNT` prints `ns N`, the tracee's time for each of its int3s. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int be_traced(long count)
{
	double start = now();
	long n;

	for (n = 0; n < count; n++)
		asm volatile("int3");
	printf("ns %.1f\n", (now() - start) / count);
	return fflush(stdout);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1;
	struct user_regs_struct registers;
	int status, number;
	cpu_set_t here;
	pid_t child;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof here, &here);
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		return be_traced(count);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		number = WSTOPSIG(status);
		ptrace(PTRACE_GETREGS, child, NULL, &registers);
		ptrace(PTRACE_SETREGS, child, NULL, &registers);
		ptrace(PTRACE_CONT, child, NULL, (long)(number == SIGTRAP || number == SIGSTOP ? 0 : number));
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
