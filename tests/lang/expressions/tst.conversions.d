/*
 * ASSERTION: Integers of all sizes mix, and pointers are cast to and from them.
 * SECTION: Expressions/Operators
 */
char c; unsigned short u; int64_t *p;
BEGIN
{
	c = 300; u = c + 1ull; p = (int64_t *)arg0; p++;
	x = 1; x = (uint64_t)p - sizeof(p) * sizeof(string) + sizeof(x);
	y = p == NULL ? 0 : p - (int64_t *)arg1;
}
