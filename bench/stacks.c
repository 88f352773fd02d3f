/*
 * stacks N: calls a function ten frames deep N times in short series, and prints the nanoseconds that one such call took
 * in the best of them. All functions keep frame pointers, for peers that need them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SERIES 20
#define FRAMES __attribute__((noinline, noipa, optimize("no-omit-frame-pointer")))

static volatile long sink;

FRAMES long innermost(long x) { return x + sink; }
FRAMES long deeper(int frames, long x) { return frames ? deeper(frames - 1, x) + sink : innermost(x) + sink; }

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000;
	double best = 0;

	for (int i = 0; i < SERIES; i++) {
		double start = now_ns();

		for (long j = 0; j < n; j += SERIES)
			deeper(10, j);

		double ns = (now_ns() - start) / (n / SERIES);

		if (i == 0 || ns < best)
			best = ns;
	}
	printf("ns %.3f\n", best);
	return 0;
}
