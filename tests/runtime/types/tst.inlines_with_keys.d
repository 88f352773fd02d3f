/*
 * ASSERTION: An inline with keys is an expression over them; a key is evaluated wherever it is named.
 * SECTION: Declarations/Inlines
 *
 * @@flags: -q
 */
inline int SUM[int a, int b] = a + b;
inline string KIND[int n] = n > 0 ? "positive" : n < 0 ? "negative" : "zero";
inline char CUT[int n] = n;
inline int LENGTH[string s, int more] = strlen(s) + more;
inline int OWN[int pid] = pid;
int table[int row];

BEGIN
{
	x = 3;
	printf("%d %d\n", SUM[x, 4], SUM[SUM[1, 2], SUM[x, x]]);
	printf("%s %s %s\n", KIND[x], KIND[-x], KIND[x - 3]);
	printf("%d %d\n", CUT[300], sizeof(CUT[300]));
	printf("%d %d\n", LENGTH["abc", 1], OWN[5]);
	printf("%d %d\n", SUM[x++, x++], x);
	table[4] = 7;
	@[KIND[table[4]]] = sum(SUM[table[4], 1]);
	exit(0);
}
