/*
 * ASSERTION: Pointers lead to parts of global and clause-local variables, to which arrays there decay.
 * SECTION: Values/Pointers
 * @@flags: -q
 * @@mask: bpf-pc
 */
int a[4];
int grid[2][3];
struct s { int x, y[2]; char name[8]; };
struct s v, vs[3];
this int own[4];
this struct s here;
char text[8];
int *q;
BEGIN
{
	a[1] = 5; a[3] = 9;
	p = &a[1];
	printf("%d %d %d\n", *p, p[2], *(a + 1));
	i = 3;
	q = a;
	printf("%d %d %d %d\n", *&a[i], q[i], &a[i] - q, &a[0] == a);
	q[2] = 7;
	*(a + 2) += 1;
	printf("%d %d\n", a[2], ((int *)a)[2]);
	grid[1][2] = 6;
	q = grid[1];
	printf("%d %d\n", q[2], *(&grid[0][0] + 5));
	v.y[1] = -4;
	r = &v.y[0];
	x = &v.x;
	v.x = 3;
	printf("%d %d\n", r[1], *x);
	vs[2].y[0] = 8;
	m = &vs[2];
	printf("%d %d\n", m->y[0], (m - 1)->x);
	text[0] = 'o'; text[1] = 'k';
	printf("%s %s\n", stringof((char *)text), stringof(&text[1]));
	this->own[2] = 11;
	t = &this->own[2];
	this->here.y[1] = 12;
	u = &this->here.y[1];
	printf("%d %d %d\n", *t, *u, ((int *)this->own)[2]);
	z = (int *)alloca(16);
	bcopy(a, z, 16);
	printf("%d %d\n", z[1], z[3]);
}
BEGIN { printf("%d %d\n", *p, *t); p = &a[0]; }
BEGIN { trace(*(p - 4000)); }
BEGIN { i = 4; trace(&a[i] == NULL); }
BEGIN { exit(0); }
