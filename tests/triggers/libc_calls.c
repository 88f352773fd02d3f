/* Calls of libc with arguments that nobody else passes: strlen of a text 4001 long 7 times, memcpy of 4003 bytes 11 times,
 * atoi of "4007" 13 times. Ends with status 1 if any of them gave a wrong result. */
#include <string.h>
#include "trigger.h"

static char text[4002], from[4003], to[4003];

int main(void)
{
	size_t (*volatile length)(const char *) = strlen;
	void *(*volatile copy)(void *, const void *, size_t) = memcpy;
	int (*volatile number)(const char *) = atoi;
	int failures = 0;

	memset(text, 'x', sizeof text - 1);
	memset(from, 'y', sizeof from);
	wait_for_go();
	for (int i = 0; i < 7; i++)
		failures += length(text) != 4001;
	for (int i = 0; i < 11; i++) {
		memset(to, 0, sizeof to);
		copy(to, from, sizeof from);
		failures += to[0] != 'y' || to[4002] != 'y';
	}
	for (int i = 0; i < 13; i++)
		failures += number("4007") != 4007;
	return failures != 0;
}
