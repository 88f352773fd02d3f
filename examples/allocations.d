#!/usr/bin/env -S dtrap -s
/*
 * How large the blocks are that a process asks malloc, calloc and realloc for, and how many bytes in all.
 *
 *     allocations.d -c 'ls /usr/bin'
 */
#pragma D option quiet

pid$target:libc.so.6:malloc:entry
{
	this->size = arg0;
}

pid$target:libc.so.6:calloc:entry
{
	this->size = arg0 * arg1;
}

pid$target:libc.so.6:realloc:entry
{
	this->size = arg1;
}

pid$target:libc.so.6:malloc:entry,
pid$target:libc.so.6:calloc:entry,
pid$target:libc.so.6:realloc:entry
{
	@sizes[probefunc] = quantize(this->size);
	@bytes[probefunc] = sum(this->size);
	@calls[probefunc] = count();
}

END
{
	printa("%s%@d", @sizes);
	printf("%-10s %12s %14s\n", "FUNCTION", "CALLS", "BYTES");
	printa("%-10s %@12u %@14d\n", @calls, @bytes);
}
