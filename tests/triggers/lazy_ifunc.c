/* Calls one of libc's IFUNCs that libc itself never calls, after the byte has come. */
#include "trigger.h"
#include <string.h>

int main(int argc, char **argv)
{
	wait_for_go();
	return strstr(argv[0], argv[argc - 1]) == NULL;
}
