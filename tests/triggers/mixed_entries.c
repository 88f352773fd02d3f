/*
 * Forty functions, plain_00 to plain_36 and locked_0 to locked_2, each called once for every byte read from standard
 * input, then `done` is printed. The locked ones start with an instruction that the kernel does not probe.
 */
#include "trigger.h"

long counter = 1L << 40;

#define PLAIN(n) __asm__(".text\n.globl plain_" #n "\n.type plain_" #n ", @function\nplain_" #n ":\n" \
			 "xor %eax, %eax\nret\n.size plain_" #n ", .-plain_" #n "\n"); void plain_##n(void);
#define LOCKED(n) __asm__(".text\n.globl locked_" #n "\n.type locked_" #n ", @function\nlocked_" #n ":\n" \
			  "lock decq counter(%rip)\nret\n.size locked_" #n ", .-locked_" #n "\n"); void locked_##n(void);
#define EACH(F) F(00) F(01) F(02) F(03) F(04) F(05) F(06) F(07) F(08) F(09) F(10) F(11) F(12) F(13) F(14) F(15) F(16) \
	F(17) F(18) F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30) F(31) F(32) F(33) F(34) F(35) F(36)
#define CALL_PLAIN(n) plain_##n();
#define CALL_LOCKED(n) locked_##n();

EACH(PLAIN)
LOCKED(0)
LOCKED(1)
LOCKED(2)

int main(void)
{
	char byte;

	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		return 1;
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		EACH(CALL_PLAIN)
		CALL_LOCKED(0)
		CALL_LOCKED(1)
		CALL_LOCKED(2)
		if (write(STDOUT_FILENO, "done\n", 5) != 5)
			return 1;
	}
	return 0;
}
