/*
 * ASSERTION: Any tuple of integers and strings is a key.
 * SECTION: Aggregations/Keys
 */
BEGIN
{
	@a[1, "two", probefunc, pid] = count();
	@b[1, "two"] = lquantize(5, 0, 10, 2);
	@[execname] = llquantize(5, 10, 0, 3, 10);
	exit(0);
}
