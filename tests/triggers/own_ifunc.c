/* IFUNCs of a program's own: two that share an implementation, and one that nobody calls by name or uses. */
#include "trigger.h"

static NOINLINE int first_choice(int x) { return x + 1; }
static NOINLINE int second_choice(int x) { return x + 2; }

static int (*choose_first(void))(int) { return first_choice; }
static NOINLINE int third_choice(int x) { return x + 3; }

static int (*choose_second(void))(int) { return second_choice; }
static int (*choose_third(void))(int) { return third_choice; }

int twice(int) __attribute__((ifunc("choose_first")));
int _twice_too(int) __attribute__((ifunc("choose_first")));
int other(int) __attribute__((ifunc("choose_second")));
int unused(int) __attribute__((ifunc("choose_third")));

int main(void)
{
	wait_for_go();
	return twice(1) + _twice_too(1) + other(1) == 0;
}
