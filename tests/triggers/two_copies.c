/* two_copies LIBRARY: has it loaded twice, in two link maps, and calls its function f() three times in one copy and five
 * times in the other. */
#define _GNU_SOURCE
#include "trigger.h"
#include <dlfcn.h>

int main(int argc, char **argv)
{
	void *one = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	void *two = argc > 1 ? dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW) : NULL;
	int (*first)(int), (*second)(int);

	if (one == NULL || two == NULL)
		return 1;
	first = (int (*)(int))dlsym(one, "f");
	second = (int (*)(int))dlsym(two, "f");
	wait_for_go();
	for (int i = 0; i < 3; i++)
		first(i);
	for (int i = 0; i < 5; i++)
		second(i);
	return first == second;
}
