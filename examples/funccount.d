#!/usr/bin/env -S dtrap -s
/*
 * Which functions of a library are called, and how often. The operand names the library, and may be a glob.
 *
 *     funccount.d libc.so.6 -c 'ls -R /usr/share'
 */
#pragma D option quiet

pid$target:$1::entry
{
	@calls[probemod, probefunc] = count();
}

END
{
	printf("%-24s %-40s %12s\n", "LIBRARY", "FUNCTION", "CALLS");
	printa("%-24s %-40s %@12u\n", @calls);
}
