/*
 * ASSERTION: A structure or array that has the size of a number is a key like one, a larger one is shown as it is.
 * SECTION: Aggregations
 * @@flags: -q
 */
struct one { int8_t a; } c;
struct two { short a; } s;
struct four { int a; } i;
struct eight { int a, b; } l;
struct more { int a, b, c; } m;
int pair[2];
char word[8];
BEGIN
{
	c.a = -1;
	s.a = -2;
	i.a = -3;
	@first[c, s, i] = count();
	l.a = 1;
	l.b = 2;
	@second[l] = count();
	l.b = 1;
	@second[l] = count();
	pair[0] = 300;
	@third[pair] = count();
	pair[0] = 2;
	@third[pair] = count();
	word[0] = 'a';
	@fourth[word] = count();
	m.b = 7;
	@fifth[m] = count();
	exit(0);
}
