#!/usr/bin/env -S dtrap -s
/*
 * Who calls a function, and how often, by whole stacks. The operands name the library and the function. fold.awk, which
 * stands beside this, makes a line of each stack, as flame graphs want them.
 *
 *     callers.d libc.so.6 malloc -c 'python3 -c "import json"' | awk -f fold.awk > malloc.folded
 */
#pragma D option quiet
#pragma D option demangle
#pragma D option stackindent=0

pid$target:$1:$2:entry
{
	@stacks[ustack()] = count();
}
