/* A function that is a system call: read(2) from a pipe, interrupted by a timer whose handler restarts it, then by one that
 * doesn't. Prints what the calls returned, and how often the handlers found registers that they must not see. */
#define _GNU_SOURCE
#include "trigger.h"
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

#define NOT_BEGUN 7 /* in rcx, which the call overwrites */

__attribute__((naked, noinline)) long probed(long fd, void *to, long size) { asm("syscall; ret"); }
static long call_read(int fd, void *to, long size)
{
	long result, rcx = NOT_BEGUN;

	asm volatile("call probed" : "=a"(result), "+c"(rcx) : "a"(0L), "D"((long)fd), "S"(to), "d"(size) : "r11", "memory");
	return result;
}

static int pipes[2], alarms, write_at, restarts = 1, strange;

static void on_alarm(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	long behind = registers[REG_RIP] - (long)probed;

	/* As the kernel leaves them: at the call, which is made again, or behind it. The timer may also fire before the call has
	 * begun, or elsewhere. */
	if (behind == 0 && registers[REG_RCX] == NOT_BEGUN)
		strange += registers[REG_RAX] != 0;
	else if (behind == 0)
		strange += !restarts || registers[REG_RAX] != 0 || registers[REG_RCX] != (long)probed + 2;
	else if (behind == 2)
		strange += restarts || registers[REG_RAX] != -EINTR || registers[REG_RCX] != (long)probed + 2;
	if (registers[REG_RIP] - (unsigned long)probed > 1ul << 20)
		strange += registers[REG_RDI] == pipes[0] && registers[REG_RDX] == 1;
	if (++alarms == write_at && write(pipes[1], "x", 1) != 1)
		_exit(2);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_RESTART | SA_SIGINFO};
	struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
	char byte;
	int i;

	if (pipe(pipes))
		return 2;
	wait_for_go();
	sigaction(SIGALRM, &action, NULL);
	for (i = 0; i < 3; i++) {
		write_at = alarms + 5;
		setitimer(ITIMER_REAL, &every, NULL);
		printf("%ld ", call_read(pipes[0], &byte, 1));
		setitimer(ITIMER_REAL, &never, NULL);
	}
	action.sa_flags = SA_SIGINFO;
	restarts = 0;
	sigaction(SIGALRM, &action, NULL);
	write_at = 0;
	for (i = 0; i < 3; i++) {
		setitimer(ITIMER_REAL, &every, NULL);
		printf("%ld ", call_read(pipes[0], &byte, 1));
		setitimer(ITIMER_REAL, &never, NULL);
	}
	printf("strange %d\n", strange);
	return 0;
}
