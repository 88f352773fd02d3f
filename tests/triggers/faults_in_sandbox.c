/* Calls work(), whose first instruction reads what its argument points to: once, then under a seccomp filter that allows
 * everything once with an address where nothing is, and twice more. Prints what was caught. */
#include <setjmp.h>
#include <signal.h>
#include "sandbox.h"
#include "trigger.h"

static sigjmp_buf before;

__attribute__((naked, noinline)) long work(long *place) { asm("mov (%rdi),%rax; add $1,%rax; add $1,%rax; ret"); }

static void on_fault(int number) { siglongjmp(before, number); }

int main(void)
{
	long one = 1;
	int caught;

	signal(SIGSEGV, on_fault);
	wait_for_go();
	if (work(&one) != 3)
		return 1;
	if (enter_sandbox())
		return 1;
	caught = sigsetjmp(before, 1);
	if (caught == 0)
		work(NULL);
	printf("caught %d\n", caught);
	return work(&one) != 3 || work(&one) != 3;
}
