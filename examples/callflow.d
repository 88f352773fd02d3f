#!/usr/bin/env -S dtrap -s
/*
 * What a function calls, within its own program or library: each call and return, indented, until it returns.
 *
 *     callflow.d -c 'ls -l' a.out main
 */
#pragma D option flowindent

pid$target:$1:$2:entry
{
	self->inside++;
}

pid$target:$1::entry,
pid$target:$1::return
/self->inside/
{
}

pid$target:$1:$2:return
/self->inside/
{
	self->inside--;
}
