/*
 * Has here() called where stacks are odd: in a thread that clone() started bare, on a stack of makecontext(), in a
 * signal's handler, behind code made at run time, one piece of it calling another.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include "trigger.h"

static volatile int sum;
static ucontext_t back, other;
static char stacks[2][65536] __attribute__((aligned(16)));

NOINLINE int here(int n) { return sum += n; }
NOINLINE int plain(void) { return here(1) + 1; }
static int cloned(void *unused) { return plain() + (unused != NULL); }
static void coroutine(void) { plain(); }
static void handler(int number) { sum += number + plain(); }
NOINLINE int raises(void) { return raise(SIGUSR1) + sum; }
/* push %rbp; mov %rsp,%rbp; mov %rdi,%rcx; mov %rsi,%rdi; call *%rcx; pop %rbp; ret */
static const unsigned char CALLS[] = "\x55\x48\x89\xe5\x48\x89\xf9\x48\x89\xf7\xff\xd1\x5d\xc3";
NOINLINE int calls_made(int (*made)(void *, void *)) { return made((void *)made, (void *)plain) + sum; }

static void bare_thread(void)
{
	static int lives = 1;

	clone(cloned, stacks[0] + sizeof stacks[0],
	      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID,
	      NULL, NULL, NULL, &lives);
	while (__atomic_load_n(&lives, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &lives, FUTEX_WAIT, 1, NULL, NULL, 0);
}

int main(void)
{
	struct sigaction action = { .sa_handler = handler };
	void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(code, CALLS, sizeof CALLS);
	wait_for_go();
	bare_thread();
	getcontext(&other);
	other.uc_stack.ss_sp = stacks[1];
	other.uc_stack.ss_size = sizeof stacks[1];
	other.uc_link = &back;
	makecontext(&other, coroutine, 0);
	swapcontext(&back, &other);
	sigaction(SIGUSR1, &action, NULL);
	raises();
	calls_made((int (*)(void *, void *))code);
	return 0;
}
