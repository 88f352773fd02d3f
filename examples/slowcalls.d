#!/usr/bin/env -S dtrap -s
/*
 * Each call of a function that takes so many microseconds or more, with its first two arguments and its result.
 *
 *     slowcalls.d -p "$(pgrep -o python3)" libc.so.6 'p*read' 1000
 */
#pragma D option quiet
#pragma D option dynvarsize=16m

BEGIN
{
	printf("%10s %12s %-24s %18s %18s %18s\n", "THREAD", "MICROSECONDS", "FUNCTION", "ARG0", "ARG1", "RESULT");
}

pid$target:$1:$2:entry
{
	self->began[uregs[R_RSP]] = timestamp;
	self->first[uregs[R_RSP]] = arg0;
	self->second[uregs[R_RSP]] = arg1;
}

pid$target:$1:$2:return
/self->began[uregs[R_RSP]] && timestamp - self->began[uregs[R_RSP]] >= $3 * 1000/
{
	this->ns = timestamp - self->began[uregs[R_RSP]];
	printf("%10d %12d %-24s %18x %18x %18x\n", tid, this->ns / 1000, probefunc,
	    self->first[uregs[R_RSP]], self->second[uregs[R_RSP]], arg1);
}

pid$target:$1:$2:return
{
	self->began[uregs[R_RSP]] = 0;
	self->first[uregs[R_RSP]] = 0;
	self->second[uregs[R_RSP]] = 0;
}
