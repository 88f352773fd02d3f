/*
 * Small functions with known arguments and call counts: calls [N] calls add N times (N is 3 if not given), neg twice
 * as often, text for each of three strings, eight once. It prints nothing and ends with status 0.
 */
#include <string.h>
#include "trigger.h"

static volatile long sink;

NOINLINE int add(int a, int b) { return a + b; }
NOINLINE long neg(long a) { return -a; }
NOINLINE size_t text(const char *s) { return strlen(s); }
NOINLINE long eight(long a, long b, long c, long d, long e, long f, long g, long h)
{
	return a + b + c + d + e + f + g + h;
}

int main(int argc, char **argv)
{
	static const char *const strings[] = { "hello", "a longer string", "" };
	int n = argc > 1 ? atoi(argv[1]) : 3;

	wait_for_go();
	for (int i = 0; i < n; i++) {
		sink += add(i, i * 2);
		sink += neg(i);
		sink += neg(-i);
	}
	for (int i = 0; i < 3; i++)
		sink += text(strings[i]);
	sink += eight(1, -2, 3, -4, 5, -6, 7, -8);
	return 0;
}
