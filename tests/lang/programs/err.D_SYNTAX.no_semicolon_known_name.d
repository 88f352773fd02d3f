/*
 * ASSERTION: Where a known name can't stand, it alone is shown.
 * SECTION: Errors
 */
BEGIN { y = 1; }
BEGIN
{
	x = 1
	y = 2;
}
