/* Calls work() three times through a stub as Mono's compiler makes them: a jump through memory, and behind it a number that
 * a runtime finds by the jump. Before each call it looks, as that does, whether the jump is there. 1 if it is not. */
#include "trigger.h"

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

void stub(void);
__asm__(".data\n"
	"where: .quad work\n"
	".text\n"
	".type stub,@function\n"
	"stub: jmp *where(%rip)\n"
	".long 0x4ea9b\n"
	".size stub,.-stub\n");

int main(void)
{
	volatile const unsigned char *jump = (const unsigned char *)stub;

	wait_for_go();
	for (int i = 0; i < 3; i++) {
		if (jump[0] != 0xff || jump[1] != 0x25)
			return 1;
		stub();
	}
	return 0;
}
