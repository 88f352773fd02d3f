/*
 * Functions that are left in every way, with known results: by `ret`, one of two; by a jump to another function, also
 * a conditional one; by way of a part split off; recursively; by longjmp, which is no return. Those written in assembly
 * have the same code whatever the compiler. It prints nothing and ends with status 0.
 */
#include <setjmp.h>
#include "trigger.h"

long either(long), passed_on(long), maybe(long), split(long), only_ret(long), nothing(void), switched(long);

#define FUNCTION(name, body) \
	asm(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" body ".size " #name ",.-" #name "\n")

FUNCTION(either, "test %edi,%edi\nje 1f\nmov $7,%eax\nret\n1: mov $9,%eax\nret\n");
FUNCTION(passed_on, "inc %edi\nmov $0,%eax\njmp either\n");
FUNCTION(maybe, "cmp $2,%rdi\nmov $5,%eax\njb nothing\nje nothing\njg nothing\nret\n");
FUNCTION(nothing, "mov $1,%eax\nret\n");
FUNCTION(split, "test %edi,%edi\nje split.cold\nmov $3,%eax\nret\n");
asm(".local split.cold\n.type split.cold,@function\nsplit.cold: mov $4,%eax\nret\n.size split.cold,.-split.cold\n");
FUNCTION(only_ret, "ret\n");
/* An offset from the table's start for each of three cases, as compilers make switches. */
FUNCTION(switched, "mov %edi,%edi\ncmp $2,%edi\nja 4f\nlea 5f(%rip),%rdx\nmovslq (%rdx,%rdi,4),%rax\nadd %rdx,%rax\n"
		   "jmp *%rax\n1: mov $11,%eax\nret\n2: mov $12,%eax\nret\n3: mov $13,%eax\nret\n4: mov $14,%eax\nret\n"
		   ".section .rodata\n.balign 4\n5: .long 1b-5b, 2b-5b, 3b-5b\n.text\n");

static volatile long sink;
static jmp_buf back;

NOINLINE long factorial(long n) { return n < 2 ? 1 : n * factorial(n - 1); }
NOINLINE long leaves(long n)
{
	if (n > 2)
		longjmp(back, 1);
	return n;
}

int main(void)
{
	wait_for_go();
	for (long i = 0; i < 2; i++) {
		sink += either(i);
		sink += passed_on(i - 1);
		sink += split(i);
	}
	for (long i = -1; i < 4; i++) {
		sink += maybe(i);
		sink += switched(i);
	}
	sink += only_ret(0);
	sink += factorial(5);
	for (volatile long i = 1; i < 5; i++)
		if (setjmp(back) == 0)
			sink += leaves(i);
	return 0;
}
