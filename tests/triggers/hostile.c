/* A process with a name, a function argument and a function whose name hold what could harm a terminal. (The tests give
 * `renamed` such a name.) */
#include <sys/prctl.h>
#include "trigger.h"

NOINLINE void renamed(const char *text) { __asm__ volatile("" : : "r"(text) : "memory"); }

int main(void)
{
	prctl(PR_SET_NAME, "\033[2Jcomm\n");
	wait_for_go();
	renamed("\033]0;title\a\r\n\x9b" "end");
	return 0;
}
