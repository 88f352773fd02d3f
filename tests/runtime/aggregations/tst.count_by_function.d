/*
 * ASSERTION: Each call of each function is counted once, under its name.
 * SECTION: Aggregations/count
 * @@flags: -q
 * @@trigger: calls 3
 */
pid$target:calls:add:entry,
pid$target:calls:neg:entry,
pid$target:calls:text:entry,
pid$target:calls:eight:entry
{
	@[probefunc] = count();
}

END
{
	printa("%s %@d\n", @);
}
