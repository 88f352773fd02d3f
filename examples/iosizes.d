#!/usr/bin/env -S dtrap -s
/*
 * How many bytes a process reads and writes at a time, by file descriptor, as its system calls' wrappers return them.
 *
 *     iosizes.d -c 'cp /etc/services /dev/null'
 */
#pragma D option quiet

pid$target:libc.so.6:read:entry,
pid$target:libc.so.6:write:entry
{
	self->descriptor = (int)arg0;
	self->inside = 1;
}

pid$target:libc.so.6:read:return,
pid$target:libc.so.6:write:return
/self->inside && (int)arg1 >= 0/
{
	@sizes[probefunc, self->descriptor] = quantize(arg1);
}

pid$target:libc.so.6:read:return,
pid$target:libc.so.6:write:return
{
	self->inside = 0;
	self->descriptor = 0;
}
