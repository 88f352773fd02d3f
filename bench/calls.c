/*
 * calls FUNCTION N [THREADS[+]]: calls one function N times, in each of some threads, and prints the nanoseconds that
 * one call took; with THREADS, of the thread's own time, whatever else the processor does meanwhile. With a `+` there is
 * another thread, which sleeps. The functions differ in their first instruction, which decides what a uprobe costs: the
 * kernel emulates a push and single-steps a mov. Two threads have a processor each.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FUNCTION(name, body) \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body \
		"\n.size " #name ", . - " #name "\n"); \
	long name(long)

FUNCTION(push_first, "push %rbx\n mov %rdi, %rax\n pop %rbx\n ret");
FUNCTION(mov_then_push, "mov %rdi, %rax\n push %rbx\n pop %rbx\n ret");
FUNCTION(mov_first, "mov %rdi, %rax\n ret");

static clockid_t clock_used = CLOCK_MONOTONIC;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(clock_used, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static long (*function)(long);
static long calls;
static pthread_barrier_t barrier;

static void *run(void *number)
{
	volatile long sink = 0;
	static __thread double took;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((long)number, &one);
	if (number)
		sched_setaffinity(0, sizeof one, &one);
	pthread_barrier_wait(&barrier);
	double start = now_ns();

	for (long i = 0; i < calls; i++)
		sink += function(i);
	took = (now_ns() - start) / calls;
	pthread_barrier_wait(&barrier);
	return memcpy(malloc(sizeof took), &took, sizeof took);
}

static void *sleep_on(void *unused)
{
	pause();
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 4)
		return 2;
	if (strcmp(argv[1], "push_first") == 0)
		function = push_first;
	else if (strcmp(argv[1], "mov_then_push") == 0)
		function = mov_then_push;
	else if (strcmp(argv[1], "mov_first") == 0)
		function = mov_first;
	else
		return 2;
	calls = atol(argv[2]);
	if (argc == 4)
		clock_used = CLOCK_THREAD_CPUTIME_ID;

	long threads = argc == 4 ? atol(argv[3]) : 1;
	pthread_t others[threads];
	double most = 0;

	if (argc == 4 && strchr(argv[3], '+'))
		pthread_create(&others[0], NULL, sleep_on, NULL);
	pthread_barrier_init(&barrier, NULL, threads);
	for (long i = 1; i < threads; i++)
		pthread_create(&others[i], NULL, run, (void *)i);
	for (long i = 0; i < threads; i++) {
		void *took;

		if (i == 0)
			took = run(NULL);
		else
			pthread_join(others[i], &took);
		if (*(double *)took > most)
			most = *(double *)took;
	}
	printf("ns %.3f\n", most);
	return 0;
}
