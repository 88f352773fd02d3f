#!/usr/bin/env -S dtrap -s
/*
 * How long the calls of a function take, in nanoseconds. Calls are told apart by where their frame is, so recursion is
 * counted right, and a call that is left by longjmp or an exception is not counted.
 *
 *     funclatency.d -p "$(pgrep -o firefox-esr)" libc.so.6 malloc
 */
#pragma D option quiet
#pragma D option dynvarsize=16m

pid$target:$1:$2:entry
{
	self->began[uregs[R_RSP]] = timestamp;
}

pid$target:$1:$2:return
/self->began[uregs[R_RSP]]/
{
	@latency[probefunc] = quantize(timestamp - self->began[uregs[R_RSP]]);
	self->began[uregs[R_RSP]] = 0;
}
