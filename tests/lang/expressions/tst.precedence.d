/*
 * ASSERTION: Operators bind as in C, with ^^ between && and ||.
 * SECTION: Expressions/Operators
 */
BEGIN
{
	x = 1 + 2 * 3 - 4 / 2 % 3 << 1 & 7 | 8 ^ 2;
	y = x > 3 && x < 9 ^^ !x || ~x == -1 ? -x : +x;
	exit(0);
}
