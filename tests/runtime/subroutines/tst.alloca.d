/*
 * ASSERTION: alloca() takes memory in multiples of 8, for its clause, as much as scratchsize says; what leads to
 *	other places is a fault.
 * SECTION: Subroutines/alloca
 * @@flags: -q -x scratchsize=64
 * @@mask: bpf-pc
 */
BEGIN
{
	base = (char *)alloca(0);
	p = (char *)alloca(3);
	q = (char *)alloca(8);
	r = (char *)alloca(0);
	printf("%d %d %d\n", p - base, q - base, r - base);
	bcopy("12345678", p, 8);
	bcopy("abc", q, 4);
	printf("%s\n", stringof(p));
	p[9] = 'B';
	printf("%s %d\n", stringof(q), p == base);
}
BEGIN { trace(*p); }
BEGIN { q = (char *)alloca(1); *q = 'x'; printf("%s\n", stringof(p)); }
BEGIN { p = (char *)alloca(0); trace(*p); }
BEGIN { p = (char *)alloca(8); trace(p[8]); }
BEGIN { p = (char *)alloca(8); trace(p[-1]); }
BEGIN { p = (char *)alloca(8); trace(*(int *)(p + 6)); }
BEGIN { p = (char *)alloca(8); q = (char *)alloca(16); bcopy(q, p + 16, 16); }
BEGIN { p = (char *)alloca(8); bcopy("beyond it", p, 10); }
BEGIN { this->n = 65; bcopy("beyond all", alloca(8), this->n); }
BEGIN { alloca(32); alloca(40); }
BEGIN { this->n = 65; alloca(this->n); }
BEGIN { p = (char *)alloca(64); p[63] = 'z'; printf("%c\n", p[63]); }
BEGIN { x = 1; p = 0; trace(*p); }
BEGIN { exit(0); }
ERROR { printf("%d 0x%x\n", arg4, arg5); }
