/*
 * ASSERTION: Aggregations are read no more often than aggrate says, but at the end; switchrate loses no records.
 * SECTION: Options
 * @@flags: -q -x aggrate=1h -x switchrate=30ms
 */
BEGIN
{
	@ = sum(1);
	printa("%@d\n", @);
}

tick-1ms
{
	@ = sum(1);
	printa("%@d\n", @);
	exit(0);
}

END
{
	printa("%@d\n", @);
}
