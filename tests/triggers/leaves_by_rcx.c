/* Calls left(n) for n from 0 to 2, which goes on into zero() by jrcxz where n is 0, as libgmp's functions do, else returns; and
 * then work(). 1 for a wrong result. */
#include "trigger.h"

NOINLINE long work(long n) { return n + 1; }

long left(long n);
__asm__(".text\n"
	".type zero,@function\n"
	"zero: mov $7,%eax\n"
	"ret\n"
	".size zero,.-zero\n"
	".type left,@function\n"
	"left: mov %rdi,%rcx\n"
	"jrcxz zero\n"
	"mov %rdi,%rax\n"
	"ret\n"
	".size left,.-left\n");

int main(void)
{
	wait_for_go();
	return left(0) != 7 || left(1) != 1 || left(2) != 2 || work(1) != 2;
}
