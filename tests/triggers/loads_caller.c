/* Loads the library named three times, and each time has it call back at once. */
#include "trigger.h"
#include <dlfcn.h>

static volatile int sum;
NOINLINE int here(int n) { return sum += n; }

int main(int argc, char **argv)
{
	wait_for_go();
	for (int i = 0; i < 3; i++) {
		void *library = dlopen(argv[argc - 1], RTLD_NOW);
		int (*through)(int (*)(int)) = library ? (int (*)(int (*)(int)))dlsym(library, "through") : NULL;

		if (through == NULL || through(here) == 0 || dlclose(library))
			return 1;
	}
	return 0;
}
