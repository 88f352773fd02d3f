/*
 * ASSERTION: What was computed from a pointer into a clause's own memory is one; distances and what it leads to are not.
 * SECTION: Subroutines/alloca
 */
BEGIN
{
	p = (int *)alloca(8);
	q = &p[1];
	q = p + 1;
	q += 1;
	q = NULL;
	bcopy(p, p + 1, 4);
	bcopy(p, &p[1], 4);
	bcopy((void *)16, (p, q), 4);
	n = q - p;
	n = p[0];
	n = q == p;
	n = 5;
	x = 1;
	q = x ? p : q;
	trace((x ? p : 0) == 0);
}
