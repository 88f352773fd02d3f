/* Functions whose first instructions have one to seven bytes, with and without prefixes, called by threads for ever: every
 * result is checked, the first wrong one ends the program with 1. SIGUSR1 makes it print `well` and how often it went
 * round. With a second argument each thread goes round so often, with a third it has a child do so now and then, as
 * often as that says; at the end it prints `done`.
 */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long rounds;
static volatile sig_atomic_t asked;
volatile long table[4] = {1, 2, 3, 4};
static long limit, children;

#define FUNCTION(name, code) \
	__attribute__((naked, noinline, aligned(16))) long name(long n) { asm(code); }

FUNCTION(one_push, "push %rbx; mov %rdi,%rbx; lea 1(%rbx),%rax; pop %rbx; ret")
FUNCTION(two_push, "push %r12; mov %rdi,%r12; lea 2(%r12),%rax; pop %r12; ret")
FUNCTION(two_move, "mov %edi,%eax; add $3,%rax; ret")
FUNCTION(three_rex, "mov %rdi,%rax; add $4,%rax; ret")
FUNCTION(three_plain, "cmp $1,%edi; lea 5(%rdi),%rax; ret")
FUNCTION(three_argument, "xor %rdi,%rdi; lea 6(%rdi),%rax; ret")
FUNCTION(four_rex, "sub $8,%rsp; mov %rdi,%rax; add $6,%rax; add $8,%rsp; ret")
FUNCTION(four_endbr, "endbr64; lea 7(%rdi),%rax; ret")
FUNCTION(four_plain, "mov -8(%rsp),%eax; lea 8(%rdi),%rax; ret")
FUNCTION(five_plain, "mov $9,%eax; add %rdi,%rax; ret")
FUNCTION(five_jump, "jmp 1f; .skip 200; 1: lea 10(%rdi),%rax; ret")
FUNCTION(seven_rex, "mov table+8(%rip),%rax; add %rdi,%rax; ret")

static void check(int right)
{
	if (!right)
		_exit(1);
}

static void once(long n)
{
	n &= 0xffffff;
	check(one_push(n) == n + 1);
	check(two_push(n) == n + 2);
	check(two_move(n) == n + 3);
	check(three_rex(n) == n + 4);
	check(three_plain(n) == n + 5);
	check(three_argument(n) == 6);
	check(four_rex(n) == n + 6);
	check(four_endbr(n) == n + 7);
	check(four_plain(n) == n + 8);
	check(five_plain(n) == n + 9);
	check(five_jump(n) == n + 10);
	check(seven_rex(n) == n + 2);
}

static void have_child_do_it(long n)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		once(n);
		_exit(0);
	}
	check(waitpid(child, &status, 0) == child && status == 0);
}

static void on_user(int number)
{
	asked = 1;
}

static void *work(void *unused)
{
	long n;

	for (n = 0; !limit || n < limit; n++) {
		once(n);
		if (children && n % (limit / children) == 0)
			have_child_do_it(n);
		__atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
		if (n % 64 == 0)
			usleep(20); /* let others stop for the tracer as well */
		if (asked) {
			asked = 0;
			printf("well %ld\n", rounds);
			fflush(stdout);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2;
	struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};
	pthread_t made;

	limit = argc > 2 ? atol(argv[2]) : 0;
	children = argc > 3 ? atol(argv[3]) : 0;
	sigaction(SIGUSR1, &user, NULL);
	wait_for_go();
	while (--threads > 0)
		pthread_create(&made, NULL, work, NULL);
	work(NULL);
	while (rounds < limit * (argc > 1 ? atoi(argv[1]) : 2))
		usleep(1000);
	printf("done\n");
	return 0;
}
