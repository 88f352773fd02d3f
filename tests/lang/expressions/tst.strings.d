/*
 * ASSERTION: Strings of different lengths are chosen, assigned to themselves and compared with NULL.
 * SECTION: Expressions/Operators
 */
BEGIN
{
	s = arg0 ? "a" : "a much longer text";
	s = s;
	x = s == NULL || s != "b" && s < execname;
	s = 1 + s;
}
