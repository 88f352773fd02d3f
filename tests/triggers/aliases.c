/* Functions with several names: strong, weak, local, versioned-looking, an assembler's without a size, and one with no symbol after it. */
#include "trigger.h"

NOINLINE int __work(int x) { return x * 3 + 1; }
int work(int) __attribute__((weak, alias("__work")));
int work_again(int) __attribute__((weak, alias("__work")));

static NOINLINE int hidden(int x) { return x - 7; }

__asm__(".text\n"
	".type assembled, @function\n"
	".globl assembled\n"
	"assembled:\n"
	"	mov %edi, %eax\n"
	"	ret\n"
	".type follower, @function\n"
	".globl follower\n"
	"follower:\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	".size follower, .-follower\n");
int assembled(int);
int follower(void);

int main(void)
{
	wait_for_go();
	return work(1) + work_again(2) + hidden(3) + assembled(4) + follower() == 0;
}
