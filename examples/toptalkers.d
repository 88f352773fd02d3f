#!/usr/bin/env -S dtrap -s
/*
 * Every second the ten functions of a library that were called most in that second.
 *
 *     toptalkers.d libc.so.6 -p "$(pgrep -o firefox-esr)"
 */
#pragma D option quiet
#pragma D option aggsortrev

pid$target:$1::entry
{
	@calls[probefunc] = count();
}

tick-1s
{
	trunc(@calls, 10);
	printf("\n%Y\n", walltimestamp);
	printa("%@10u  %s\n", @calls);
	clear(@calls);
}
