/*
 * ASSERTION: Keys that find no room are reported as aggregation drops of their processor; the clause goes on.
 * SECTION: Losses
 * @@flags: -q -x aggsize=1100 -x strsize=512
 * @@mask: drop-cpu
 */
BEGIN
{
	@[strjoin("a", "1")] = count();
	@[strjoin("a", "2")] = count();
	@[strjoin("a", "3")] = count();
	@[strjoin("a", "4")] = count();
	printf("goes on\n");
	exit(0);
}
