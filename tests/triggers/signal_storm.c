/* A timer that fires 1/FREQUENCY s after its handler is through, so the main program goes on however slow both are. The
 * handler calls the functions that the main program calls as well, ROUNDS times, and counts what was called. It checks that
 * the interrupted pc lies in this program or its libraries, never elsewhere. */
#define _GNU_SOURCE
#include "trigger.h"
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

static volatile long handler_calls, main_calls, strange;
static struct itimerspec interval;
static timer_t timer;

__attribute__((naked, noinline)) long first_push(long n) { asm("push %rbx; mov %rdi,%rbx; lea 1(%rbx),%rax; pop %rbx; ret"); }
__attribute__((naked, noinline)) long first_ret(long n) { asm("ret"); }
__attribute__((naked, noinline)) long first_jmp(long n) { asm("jmp 1f; hlt; 1: lea 6(%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long first_rep(long n) { asm("push %rdi; mov $1000,%ecx; pop %rdi; jmp inner_rep"); }
__attribute__((naked, noinline)) long inner_rep(long n) { asm("rep stosb; mov %rdi,%rax; ret"); }
__attribute__((naked, noinline)) long first_call(long n) { asm("call 1f; inc %rax; ret; 1: lea 6(%rdi),%rax; ret"); }

static int all(long n)
{
	char buffer[1000];

	return first_push(n) == n + 1 && (first_ret(n), 1) && first_jmp(n) == n + 6 && first_call(n) == n + 7 &&
	       first_rep((long)buffer) == (long)buffer + 1000;
}

static void on_alarm(int number, siginfo_t *info, void *context)
{
	unsigned long pc = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	Dl_info where;

	if (!dladdr((void *)pc, &where) || info->si_code != SI_TIMER)
		strange++;
	handler_calls++;
	if (!all(handler_calls))
		strange++;
	timer_settime(timer, 0, &interval, NULL);
}

int main(int argc, char **argv)
{
	long frequency = argc > 1 ? atol(argv[1]) : 1000, rounds = argc > 2 ? atol(argv[2]) : 1000;
	struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};

	interval.it_value.tv_nsec = 1000000000 / frequency;
	wait_for_go();
	sigaction(SIGALRM, &action, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &interval, NULL);
	while (main_calls < rounds) {
		main_calls++;
		if (!all(main_calls))
			strange++;
	}
	timer_delete(timer);
	printf("%ld %ld %ld\n", main_calls, handler_calls, strange);
	return 0;
}
