/*
 * ASSERTION: Where a name that is not known yet can't stand, the rest of its line is shown.
 * SECTION: Errors
 */
BEGIN
{
	x = 1
	y = 2;	/* no semicolon above */
}
