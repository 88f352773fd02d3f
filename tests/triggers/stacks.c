/*
 * Calls here() in many ways, and writes into the file FILE, for each, the stack that glibc's backtrace() sees there, as
 * dtrap shows it at its entry with -x noresolve: stacks FILE. An empty line, then for each frame the object and the
 * address in it.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include "trigger.h"

static FILE *out;
static volatile int sink;

NOINLINE int here(int depth)
{
	void *frames[128];
	int count = backtrace(frames, 128);

	frames[0] = (void *)here;
	fputc('\n', out);
	for (int i = 0; i < count && i < depth; i++) {
		Dl_info info = { 0 };
		const char *name, *slash;

		if (!dladdr(frames[i], &info))
			break;
		name = info.dli_fname;
		slash = strrchr(name, '/');
		fprintf(out, "%s:0x%lx\n", slash ? slash + 1 : name, (long)((char *)frames[i] - (char *)info.dli_fbase));
	}
	return sink++;
}

NOINLINE int plain(void) { return here(64) + 1; }
NOINLINE int recursive(int n) { return n ? recursive(n - 1) + sink : plain() + 1; }
NOINLINE int large(void) { volatile char room[300000]; room[sink] = 1; return plain() + room[sink]; }
NOINLINE int variable(int n) { char *room = alloca(n); room[0] = sink; int r = plain(); return r + room[n - 1]; }
/* Aligned more than the ABI asks for, and with arguments on the stack: its CFA is the word that rbp - 8 points to. */
NOINLINE int aligned(int a, int b, int c, int d, int e, int f, int g)
{
	volatile char room[64] __attribute__((aligned(64)));
	volatile char *more = alloca(a + g);

	room[(a + b + c + d + e + f + g) & 63] = more[0] = 1;
	return plain() + room[0] + more[0] + g;
}
NOINLINE int tail(int n) { sink += n; return here(64); }
static int compare(const void *a, const void *b) { return plain() * 0 + *(const int *)a - *(const int *)b; }
static void *thread(void *unused) { plain(); return unused; }
static void handler(int number) { sink += number; plain(); }
NOINLINE int raises(void) { return kill(getpid(), SIGUSR1) + sink; }

/* A fault in the midst of a function, which the handler mends: the interrupted instruction is no call. */
static volatile int *bad;
static int good;
static void mend(int number, siginfo_t *info, void *context)
{
	plain();
	bad = &good;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = (greg_t)&good;
	sink += number + (info != NULL);
}
NOINLINE int faults(void)
{
	int value;

	asm volatile("movl (%%rax), %0" : "=r"(value) : "a"(bad) : "memory");
	return value + sink;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = handler }, on_other_stack = { .sa_sigaction = mend };
	stack_t other = { .ss_sp = malloc(65536), .ss_size = 65536 };
	int numbers[] = { 2, 1 };
	void *warm[1];
	pthread_t id;

	if (argc < 2 || !(out = fopen(argv[1], "w")))
		return 1;
	backtrace(warm, 1); /* it loads the library that it needs */
	wait_for_go();
	plain();
	recursive(50);
	large();
	variable(100 + argc);
	aligned(1, 2, 3, 4, 5, 6, 7);
	tail(argc);
	qsort(numbers, 2, sizeof *numbers, compare);
	sigaction(SIGUSR1, &action, NULL);
	raises();
	sigaltstack(&other, NULL);
	on_other_stack.sa_flags = SA_ONSTACK | SA_SIGINFO;
	sigaction(SIGSEGV, &on_other_stack, NULL);
	faults();
	pthread_create(&id, NULL, thread, NULL);
	pthread_join(id, NULL);
	return fclose(out);
}
