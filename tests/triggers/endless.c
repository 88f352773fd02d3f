/* Threads that call functions of libc and of this program for ever, check every result, and end with 1 at the first wrong
 * one. A signal handler that does the same makes it harder. SIGUSR1 makes it print `well` and how often it went round. */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile long rounds;
static volatile sig_atomic_t asked;
volatile long table[4] = {1, 2, 3, 4};

__attribute__((naked, noinline)) long first_push(long n) { asm("push %rbx; mov %rdi,%rbx; lea 1(%rbx),%rax; pop %rbx; ret"); }
__attribute__((naked, noinline)) long first_rip(long n) { asm("mov table+8(%rip),%rax; add %rdi,%rax; inc %rax; ret"); }
__attribute__((naked, noinline)) long first_ret(long n) { asm("ret"); }
__attribute__((naked, noinline)) long first_jmp(long n) { asm("jmp 1f; hlt; 1: lea 6(%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long first_call(long n) { asm("call 1f; inc %rax; ret; 1: lea 6(%rdi),%rax; ret"); }

static void check(int right)
{
	if (!right)
		_exit(1);
}

static void once(long n)
{
	check(first_push(n) == n + 1);
	check(first_rip(n) == n + 3);
	first_ret(n);
	check(first_jmp(n) == n + 6);
	check(first_call(n) == n + 7);
}

static void on_alarm(int number)
{
	once(rounds);
}

static void on_user(int number)
{
	asked = 1;
}

static void *work(void *unused)
{
	char *copy;
	long n;

	for (n = 0;; n++) {
		once(n);
		copy = malloc(64);
		snprintf(copy, 64, "%ld", n);
		check(atol(copy) == n && strlen(copy) < 64);
		free(copy);
		rounds++;
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
	struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 5000}, {0, 5000}};
	pthread_t made;

	sigaction(SIGALRM, &alarm, NULL);
	sigaction(SIGUSR1, &user, NULL);
	wait_for_go();
	setitimer(ITIMER_REAL, &every, NULL);
	while (--threads > 0)
		pthread_create(&made, NULL, work, NULL);
	work(NULL);
	return 0;
}
