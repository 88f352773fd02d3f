/* Calls of known number: THREADS threads each call every probed function ROUNDS times and check the results. */
#include "trigger.h"
#include <pthread.h>
#include <stdint.h>
#include <string.h>

static long rounds;
static int failures;
volatile long table[4] = {1, 2, 3, 4};

/* Each begins with another kind of instruction. */
__attribute__((naked, noinline)) long first_push(long n) { asm("push %rbx; mov %rdi,%rbx; lea 1(%rbx),%rax; pop %rbx; ret"); }
__attribute__((naked, noinline)) long first_endbr(long n) { asm("endbr64; lea 2(%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long first_rip(long n) { asm("mov table+8(%rip),%rax; add %rdi,%rax; inc %rax; ret"); }
__attribute__((naked, noinline)) long first_ret(long n) { asm("ret"); }
__attribute__((naked, noinline)) long first_jcc(long n) { asm("jc 1f; lea 5(%rdi),%rax; ret; 1: mov $-1,%rax; ret"); }
__attribute__((naked, noinline)) long first_jmp(long n) { asm("jmp 1f; hlt; 1: lea 6(%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long first_call(long n) { asm("call 1f; inc %rax; ret; 1: lea 6(%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long first_loop(long n)
{
	asm("1: loop 2f; mov $-1,%rax; ret; 2: lea 8(%rdi),%rax; ret");
}
__attribute__((naked, noinline)) long first_jrcxz(long n) { asm("jrcxz 1f; lea 9(%rdi),%rax; ret; 1: mov $-1,%rax; ret"); }
__attribute__((naked, noinline)) long first_syscall(long n)
{
	asm("syscall; lea 10(%rdi),%rax; ret"); /* an unused number: -ENOSYS */
}
__attribute__((naked, noinline)) long first_rep(long n)
{
	asm("rep stosb; lea 0(%rdi),%rax; ret");
}
__attribute__((naked, noinline)) long first_pushf(long n)
{
	asm("pushf; pop %rax; and $0x100,%rax; lea 12(%rdi,%rax),%rax; ret");
}

static long call(long (*function)(long), long n, long count, long number)
{
	long result;

	asm volatile("sub $128,%%rsp; call *%1; add $128,%%rsp"
		     : "=a"(result), "+r"(function), "+D"(n), "+c"(count)
		     : "a"(number)
		     : "memory", "cc", "rdx", "rsi", "r8", "r9", "r10", "r11");
	return result;
}

static void check(long is, long wanted, const char *what)
{
	if (is != wanted && __sync_fetch_and_add(&failures, 1) < 20)
		fprintf(stderr, "%s: %lx, not %lx\n", what, is, wanted);
}

void *work(void *unused)
{
	char buffer[16];
	long n;

	for (n = 0; n < rounds; n++) {
		check(call(first_push, n, 9, 0), n + 1, "push");
		check(call(first_endbr, n, 9, 0), n + 2, "endbr");
		check(call(first_rip, n, 9, 0), n + 3, "rip");
		check(call(first_ret, n, 9, 77), 77, "ret");
		check(call(first_jcc, n, 9, 0), n + 5, "jcc");
		check(call(first_jmp, n, 9, 0), n + 6, "jmp");
		check(call(first_call, n, 9, 0), n + 7, "call");
		check(call(first_loop, n, 9, 0), n + 8, "loop");
		check(call(first_jrcxz, n, 9, 0), n + 9, "jrcxz");
		check(call(first_syscall, n, 9, 9999), n + 10, "syscall");
		check(call(first_rep, (long)buffer, 9, 'x'), (long)buffer + 9, "rep");
		check(call(first_pushf, n, 9, 0), n + 12, "pushf");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t made[64];
	int i;

	rounds = argc > 2 ? atol(argv[2]) : 100;
	wait_for_go();
	for (i = 1; i < threads; i++)
		pthread_create(&made[i], NULL, work, NULL);
	work(NULL);
	for (i = 1; i < threads; i++)
		pthread_join(made[i], NULL);
	printf("failures %d\n", failures);
	return failures != 0;
}
