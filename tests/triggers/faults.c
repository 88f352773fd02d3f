/* Functions whose first instruction faults, with a few bytes more up to the return: handlers see the original pc and
 * address, and the instruction is repeated or skipped by them. Prints what was seen. */
#define _GNU_SOURCE
#include "trigger.h"
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

__attribute__((naked, noinline)) long reads(long *from) { asm("mov (%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long divides(long by) { asm("idivl %edi; ret"); }
__attribute__((naked, noinline)) long undefined(void) { asm("ud2; mov $5,%eax; ret"); }
__attribute__((naked, noinline)) long reads_far(void) { asm("mov unreadable(%rip),%rax; ret"); }
__attribute__((naked, noinline)) long reads_never(long *from) { asm("mov (%rdi),%rax; test %rax,%rax; ret"); }
__attribute__((naked, noinline)) long reads_late(long *from) { asm("mov (%rdi),%rax; test %rax,%rax; ret"); }
__attribute__((aligned(4096))) char unreadable[4096];

static long *page;
static sigjmp_buf back;
static unsigned long pc, address;
static int seen;

static void handler(int number, siginfo_t *info, void *context)
{
	ucontext_t *where = context;

	pc = where->uc_mcontext.gregs[REG_RIP];
	address = (unsigned long)info->si_addr;
	seen++;
	if (number == SIGSEGV && address == 8)
		where->uc_mcontext.gregs[REG_RIP] += 3;
	else if (number == SIGSEGV && address == (unsigned long)page)
		mprotect(page, 4096, PROT_READ | PROT_WRITE);
	else if (number == SIGSEGV)
		mprotect(unreadable, 4096, PROT_READ | PROT_WRITE);
	else if (number == SIGILL)
		where->uc_mcontext.gregs[REG_RIP] += 2;
	else
		siglongjmp(back, 1);
}

static void report(const char *what, void *function, void *wanted)
{
	printf("%s %d pc %s address %s\n", what, seen, pc == (unsigned long)function ? "right" : "wrong",
	       address == (unsigned long)wanted ? "right" : "wrong");
	seen = 0;
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	long result;
	int i;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(unreadable, 4096, PROT_NONE);
	wait_for_go();
	result = reads(page);
	report("reads", reads, page);
	for (i = 0; i < 3; i++)
		reads_never((long *)8);
	report("reads_never", reads_never, (void *)8);
	mprotect(page, 4096, PROT_NONE);
	for (i = 0; i < 3; i++)
		result += reads_late(page);
	report("reads_late", reads_late, page);
	result += reads_far();
	report("reads_far", reads_far, unreadable);
	if (sigsetjmp(back, 1) == 0)
		divides(0);
	report("divides", divides, divides);
	for (i = 0; i < 3; i++)
		result += undefined();
	report("undefined", undefined, undefined);
	return result != 15;
}
