/*
 * Preloaded into a program named $ELAPSED_OF: writes to the file $ELAPSED_TO how many nanoseconds of the processor it took
 * from main() to exit(), which other programs hardly disturb. A tracer that starts it has armed its probes by then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct timespec start;

static void tell(void)
{
	struct timespec now;
	FILE *file = fopen(getenv("ELAPSED_TO"), "w");

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	if (file == NULL)
		return;
	fprintf(file, "%.0f\n", (now.tv_sec - start.tv_sec) * 1e9 + (now.tv_nsec - start.tv_nsec));
	fclose(file);
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
	int (*next)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *)
		= dlsym(RTLD_NEXT, "__libc_start_main");
	const char *wanted = getenv("ELAPSED_OF");

	if (wanted != NULL && strcmp(wanted, program_invocation_short_name) == 0) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
		atexit(tell);
	}
	return next(main, argc, argv, init, fini, rtld_fini, stack_end);
}
