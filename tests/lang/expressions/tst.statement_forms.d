/*
 * ASSERTION: Empty statements, branches with and without blocks, and a last statement without semicolon are accepted.
 * SECTION: Statements
 */
BEGIN
{
	;;
	x = 1;
	if (x) y = 1; else if (y) { x = 2; } else ;
	trace(x)
}
