/* Says what became of its memory and which signals it took: for actions that change a process. */

#include <signal.h>
#include <stdio.h>

static char text[32] = "unchanged";
static volatile int signals;

static void count(int number)
{
	(void)number;
	signals++;
}

__attribute__((noinline, noclone)) void step(char *place, int number)
{
	__asm__ volatile("" : : "r"(place), "r"(number) : "memory");
}

int main(void)
{
	signal(SIGUSR1, count);
	for (int number = 1; number <= 4; number++)
		step(text, number);
	printf("%s, %d\n", text, signals);
	return 0;
}
