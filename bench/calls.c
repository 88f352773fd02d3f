/*
 * calls FUNCTION N: calls one function N times and prints the nanoseconds that one call took. The functions differ in
 * their first instruction, which decides what a uprobe costs: the kernel emulates a push and single-steps a mov.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FUNCTION(name, body) \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body \
		"\n.size " #name ", . - " #name "\n"); \
	long name(long)

FUNCTION(push_first, "push %rbx\n mov %rdi, %rax\n pop %rbx\n ret");
FUNCTION(mov_then_push, "mov %rdi, %rax\n push %rbx\n pop %rbx\n ret");
FUNCTION(mov_first, "mov %rdi, %rax\n ret");

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
	long (*function)(long) = NULL;
	volatile long sink = 0;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "push_first") == 0)
		function = push_first;
	else if (strcmp(argv[1], "mov_then_push") == 0)
		function = mov_then_push;
	else if (strcmp(argv[1], "mov_first") == 0)
		function = mov_first;
	else
		return 2;

	long n = atol(argv[2]);
	double start = now_ns();

	for (long i = 0; i < n; i++)
		sink += function(i);
	printf("ns %.3f\n", (now_ns() - start) / n);
	return 0;
}
