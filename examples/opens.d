#!/usr/bin/env -S dtrap -s
/*
 * Each file that a process opens through the C library, as it does so.
 *
 *     opens.d -c 'python3 -c pass'
 */
#pragma D option quiet
#pragma D option strsize=1024

BEGIN
{
	printf("%8s %-16s %s\n", "THREAD", "PROGRAM", "FILE");
}

pid$target:libc.so.6:open:entry
{
	printf("%8d %-16s %s\n", tid, execname, copyinstr(arg0));
}

pid$target:libc.so.6:openat:entry
{
	printf("%8d %-16s %s\n", tid, execname, copyinstr(arg1));
}
