/* Makes a page of its own code writable, as programs do that patch themselves. */
#include "trigger.h"
#include <stdint.h>
#include <sys/mman.h>

NOINLINE int patched(int x) { return x + 1; }

int main(void)
{
	if (mprotect((void *)((uintptr_t)patched & ~4095ul), 4096, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		return 1;
	wait_for_go();
	return patched(1) == 0;
}
