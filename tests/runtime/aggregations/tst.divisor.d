/*
 * ASSERTION: normalize() takes a divisor as unsigned, and no more of it than the bytes of its type.
 * SECTION: Aggregations/normalize()
 * @@flags: -q
 */
BEGIN
{
	@four = sum(-31);
	@eight = sum(-31);
	@one = sum(1000);
	normalize(@four, -1);
	normalize(@eight, -1LL);
	normalize(@one, (char)-1);
	exit(0);
}
