/*
 * Calls mark(1) before main() and mark(2) in it, and ends with status 0.
 */
#include "trigger.h"

NOINLINE void mark(int n) { __asm__ volatile("" : : "r"(n)); }

__attribute__((constructor)) static void construct(void) { mark(1); }

int main(void)
{
	mark(2);
	return 0;
}
