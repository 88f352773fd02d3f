/*
 * ASSERTION: A variable keeps the bytes and the sign of its type; arithmetic has the wider type of both operands, and
 * is done in 64 bits.
 * SECTION: Types
 * @@flags: -q
 */
char c; unsigned char u; short h; unsigned int i; uint64_t q;
BEGIN
{
	c = 200; u = 200; h = 0x18000; i = -1; q = -1;
	printf("%d %d %d %d %u\n", c, u, h, i, q);
	printf("%d %d %d\n", (char)300, (unsigned short)-1, (int)0x100000001);
	printf("%d %d %d %d\n", c > u, -1 < i, -1 < q, sizeof(h) + sizeof(int64_t));
	printf("%d %d\n", 'a', 'ab');
	printf("%d %d %d %d\n", c + c, u + u, sizeof(c + c), u + u == 400);
	printf("%d %d %d %d %d %d\n", -u, ~u, c >> 1, u << 1, c / u, h * h);
	@keys[u + u] = count();
	exit(0);
}
