/*
 * ASSERTION: A string is stored where a pointer to one leads, with its end, if there is room.
 * SECTION: Values/Pointers
 * @@flags: -q
 * @@mask: bpf-pc
 */
BEGIN
{
	p = (char *)alloca(16);
	p[8] = 'y';
	x = (*(string *)p = "abc");
	printf("%s %s %s\n", stringof(p), x, stringof(p + 8));
	q = (string *)p;
	*q = strjoin(*q, "def");
	printf("%s %d %d\n", *q, strlen(*q), *q == "abcdef");
	s = "a variable";
	*q = s;
	printf("%s\n", stringof(p + 2));
}
BEGIN { q = (string *)alloca(8); *q = "more than eight"; }
BEGIN { q = (string *)alloca(8); *q = strchr("x", 'y'); }
BEGIN { exit(0); }
