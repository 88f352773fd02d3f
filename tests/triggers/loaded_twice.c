/* Has one library loaded twice, in two link maps. */
#define _GNU_SOURCE
#include "trigger.h"
#include <dlfcn.h>

int main(void)
{
	if (dlopen("libm.so.6", RTLD_NOW) == NULL || dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW) == NULL)
		return 1;
	wait_for_go();
	return 0;
}
