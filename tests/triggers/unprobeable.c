/* Calls functions that no uprobe may be placed on, each ROUNDS times, and one that takes one; 1 for a wrong result. */
#include <pthread.h>
#include "trigger.h"

enum { ROUNDS = 1000 };

__attribute__((naked, noinline)) long locked(long *counter) { asm("lock incq (%rdi); mov (%rdi),%rax; ret"); }
/* vmovq %xmm0,%rax: the kernel takes it for a conditional jump and skips it. */
__attribute__((naked, noinline)) long vector(double value) { asm("vmovq %xmm0,%rax; ret"); }
NOINLINE long plain(long value) { return value + 1; }

int main(void)
{
	pthread_spinlock_t lock;
	union { double real; long bits; } number;
	long counter = 0;
	int failures = 0;

	pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
	wait_for_go();
	for (int i = 0; i < ROUNDS; i++) {
		number.real = i + 0.5;
		failures += locked(&counter) != i + 1;
		failures += vector(number.real) != number.bits;
		failures += plain(i) != i + 1;
		failures += pthread_spin_lock(&lock) != 0;
		failures += pthread_spin_unlock(&lock) != 0;
	}
	return failures != 0;
}
