/*
 * ASSERTION: Each operator computes what C computes, on 64 bits.
 * SECTION: Expressions/Operators
 * @@flags: -q
 */
BEGIN
{
	a = 17; b = -5;
	printf("%d %d %d %d %d\n", a + b, a - b, a * b, a / b, a % b);
	printf("%d %d %d %d %d %d\n", a & 6, a | 6, a ^ 6, ~a, a << 3, b >> 1);
	printf("%d %d %d %d %d %d\n", a < b, a <= b, a > b, a >= b, a == b, a != b);
	printf("%d %d %d %d %d\n", a && b, a && 0, !a || b, a ^^ b, !b ^^ a);
	printf("%d %d %d %d %d\n", a++, a, ++a, a--, --a);
	a += 3; printf("%d ", a); a -= 1; printf("%d ", a); a *= 2; printf("%d ", a); a /= 3; printf("%d ", a);
	a %= 7; printf("%d ", a); a <<= 4; printf("%d ", a); a |= 3; printf("%d ", a); a ^= 1; printf("%d ", a);
	a &= 6; printf("%d ", a); a >>= 1; printf("%d\n", a);
	printf("%d %d %d\n", (a, b), b < 0 ? 1 : 2, 0x8000000000000000 / -1);
	exit(0);
}
