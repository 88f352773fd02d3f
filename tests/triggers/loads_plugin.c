/* Loads the library named, twice, the first time waiting for go behind it, and calls its `plugin_step` five times each time. */
#include "trigger.h"
#include <dlfcn.h>

static int use(const char *path, int waits)
{
	void *library = dlopen(path, RTLD_NOW);
	long (*step)(long) = library ? (long (*)(long))dlsym(library, "plugin_step") : NULL;

	if (step == NULL)
		return 1;
	if (waits)
		wait_for_go();
	for (long n = 0; n < 5; n++)
		if (step(n) != n + 1)
			return 2;
	return dlclose(library);
}

int main(int argc, char **argv)
{
	return use(argv[1], 1) || use(argv[1], 0);
}
