/* Threads that call functions of libc and of this program for ever, check every result, and end with the line of the first
 * wrong one. One creates threads that live for a moment and do the same, one makes child processes that do. A signal handler
 * that does the same, with all signals blocked, makes it harder. SIGUSR1 makes it print `well` and how often it went round,
 * as soon as every one of the threads has gone round twice since. With `own` as its second argument it has a handler for
 * SIGTRAP, and calls that by an int3 of its own now and then. */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 16
#define check(right) ((right) ? (void)0 : _exit(__LINE__))

enum { MAIN, CREATOR, PARENT, WORKERS };

static volatile long rounds[MOST];
static volatile sig_atomic_t asked;
volatile long table[4] = {1, 2, 3, 4};

__attribute__((naked, noinline)) long first_push(long n) { asm("push %rbx; mov %rdi,%rbx; lea 1(%rbx),%rax; pop %rbx; ret"); }
__attribute__((naked, noinline)) long first_rip(long n) { asm("mov table+8(%rip),%rax; add %rdi,%rax; inc %rax; ret"); }
__attribute__((naked, noinline)) long first_ret(long n) { asm("ret"); }
__attribute__((naked, noinline)) long first_jmp(long n) { asm("jmp 1f; hlt; 1: lea 6(%rdi),%rax; ret"); }
__attribute__((naked, noinline)) long first_call(long n) { asm("call 1f; inc %rax; ret; 1: lea 6(%rdi),%rax; ret"); }

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
	once(rounds[MAIN]);
}

static __thread volatile long trapped;

static void on_trap(int number)
{
	trapped++;
	first_push(number);
}

static int has_own;

static void trap(long n)
{
	long before = trapped;

	if (has_own && n % 64 == 0) {
		asm volatile("int3");
		check(trapped > before);
		check(trapped < before + 2);
	}
}

static void on_user(int number)
{
	asked = 1;
}

static void work(long n)
{
	char *copy;

	once(n);
	trap(n);
	copy = malloc(64);
	snprintf(copy, 64, "%ld", n);
	check(atol(copy) == n && strlen(copy) < 64);
	free(copy);
}

static void *work_for_ever(void *place)
{
	for (;;)
		work(rounds[(long)place]++);
	return NULL;
}

static void *work_once(void *n)
{
	work((long)n);
	return (char *)n + 1;
}

static void *create_for_ever(void *unused)
{
	pthread_t made;
	void *result;

	for (;; rounds[CREATOR]++) {
		check(pthread_create(&made, NULL, work_once, (void *)rounds[CREATOR]) == 0);
		check(pthread_join(made, &result) == 0 && result == (char *)rounds[CREATOR] + 1);
	}
	return NULL;
}

static pid_t make_child(long n)
{
	static char *const arguments[] = {"true", NULL};
	pid_t child;

	if (n % 8 == 7)
		check(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, NULL) == 0);
	else if (n % 2) {
		if ((child = vfork()) == 0) {
			once(n);
			_exit(0);
		}
	} else if ((child = fork()) == 0) {
		work(n);
		_exit(0);
	}
	return child;
}

static void *make_children_for_ever(void *unused)
{
	pid_t child;
	int status;

	for (;; rounds[PARENT]++) {
		child = make_child(rounds[PARENT]);
		check(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	}
	return NULL;
}

static int all_went_round_twice(const long *before, int threads)
{
	int i;

	for (i = 0; i < threads; i++)
		if (rounds[i] < before[i] + 2)
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	int threads = WORKERS + (argc > 1 ? atoi(argv[1]) : 2) - 1;
	struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct sigaction trap = {.sa_handler = on_trap, .sa_flags = SA_RESTART};
	struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 5000}, {0, 5000}};
	long place, before[MOST];
	int answering = 0;
	pthread_t made;

	has_own = argc > 2 && strcmp(argv[2], "own") == 0;
	if (has_own)
		sigaction(SIGTRAP, &trap, NULL);
	sigfillset(&alarm.sa_mask);
	sigaction(SIGALRM, &alarm, NULL);
	sigaction(SIGUSR1, &user, NULL);
	wait_for_go();
	setitimer(ITIMER_REAL, &every, NULL);
	pthread_create(&made, NULL, create_for_ever, NULL);
	pthread_create(&made, NULL, make_children_for_ever, NULL);
	for (place = WORKERS; place < threads; place++)
		pthread_create(&made, NULL, work_for_ever, (void *)place);
	for (;; rounds[MAIN]++) {
		work(rounds[MAIN]);
		if (asked) {
			asked = 0;
			answering = 1;
			memcpy(before, (const void *)rounds, sizeof before);
		}
		if (answering && all_went_round_twice(before, threads)) {
			answering = 0;
			printf("well %ld\n", rounds[MAIN]);
			fflush(stdout);
		}
	}
}
