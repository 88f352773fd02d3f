/*
 * ASSERTION: There are no declarations in clauses.
 * SECTION: Errors
 */
BEGIN
{
	int x;
}
