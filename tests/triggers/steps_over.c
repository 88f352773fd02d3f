/*
 * A timer's signals interrupt a loop that calls a function which only returns, 60000 times. Prints how many handlers
 * found the thread at that return, and how many there were. Those that did carry it out themselves: programs may go on
 * elsewhere after a signal, as Go does.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include "trigger.h"

void only_ret(void);
asm(".text\n.globl only_ret\n.type only_ret,@function\nonly_ret: ret\n.size only_ret,.-only_ret\n");

static volatile int met, signals;

static void on_timer(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	signals++;
	if (registers[REG_RIP] == (greg_t)only_ret) {
		registers[REG_RIP] = *(greg_t *)registers[REG_RSP];
		registers[REG_RSP] += 8;
		met++;
	}
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval often = { { 0, 3000 }, { 0, 3000 } };

	wait_for_go();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 60000; i++)
		only_ret();
	printf("%d %d\n", met, signals);
	return 0;
}
