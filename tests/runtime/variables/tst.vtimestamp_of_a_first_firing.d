/*
 * ASSERTION: A thread's vtimestamp is no zero at its first firing: scripts ask by it whether a start was noted.
 * SECTION: Built-in variables
 * @@flags: -q
 * @@trigger: calls 3
 */
pid$target:a.out:add:entry
{
	self->start = vtimestamp;
}

pid$target:a.out:add:return
/self->start && vtimestamp >= self->start/
{
	@ = count();
	self->start = 0;
}

END
{
	printa("%@d\n", @);
}
