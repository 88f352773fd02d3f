/* Sets a handler on a stack that has less than a kilobyte left, with nothing below. Prints what sigaction() has returned. */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "trigger.h"

enum { SIZE = 1 << 16, LEFT = 900 };

static ucontext_t first, second;
static struct sigaction action;
static char *stack;

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

static void on_user(int number) { (void)number; }

NOINLINE static int set(void)
{
	char *here = __builtin_frame_address(0);
	volatile char *space = __builtin_alloca(here - stack - LEFT);

	space[0] = 0;
	return sigaction(SIGUSR1, &action, NULL) + space[0];
}

static void run(void)
{
	int result = set();

	work();
	printf("%d\n", result);
}

int main(void)
{
	char *both = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (both == MAP_FAILED || munmap(both, SIZE) != 0)
		return 1;
	stack = both + SIZE;
	action.sa_handler = on_user;
	sigfillset(&action.sa_mask);
	setvbuf(stdout, malloc(BUFSIZ), _IOFBF, BUFSIZ);
	sigaction(SIGUSR1, &action, NULL); /* the linker has found it then */
	wait_for_go();
	getcontext(&second);
	second.uc_stack.ss_sp = stack;
	second.uc_stack.ss_size = SIZE;
	second.uc_link = &first;
	makecontext(&second, run, 0);
	return swapcontext(&first, &second);
}
