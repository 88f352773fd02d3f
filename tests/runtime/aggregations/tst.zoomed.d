/*
 * ASSERTION: With aggzoom the longest bar of each distribution nearly fills its columns.
 * SECTION: Aggregations/Options
 * @@flags: -q -x aggzoom
 */
BEGIN
{
	@a[0] = lquantize(1, 0, 3);
	@a[0] = lquantize(1, 0, 3);
	@a[0] = lquantize(2, 0, 3);
	@b = lquantize(-1, 0, 3, 1, -4);
	printa("%d%@d", @a);
	exit(0);
}
