/*
 * ASSERTION: trace() and tracemem() show memory in hexadecimal, trace() text as text; print() shows values by their types.
 * SECTION: Actions/print
 * @@flags: -x rawbytes=no -q
 */
enum eh { FIRST = 1, SECOND };
struct point { int x, y; };
struct all
{
	int a;
	char b[5];
	union { unsigned char c; uint64_t d; } u;
	struct { void *e; uint64_t f; } s;
	_Bool g;
	enum eh h;
	short small[3];
	struct point row[2];
	unsigned bits : 3;
	int negative : 4;
	int zero;
	double real;
};
struct point p;
char text[8];

BEGIN
{
	p.x = 0x41424344; p.y = -1;
	trace(p);
	text[0] = 'o'; text[1] = 'k';
	trace(text);
	@[text] = count();
	@places[p] = count();
	this->m = (char *)alloca(40);
	this->m[0] = 'A'; this->m[17] = 0x7f; this->m[18] = 'z';
	tracemem(this->m, 20);
	tracemem(this->m, 20, 3);
	tracemem(this->m, 4, 5);
	tracemem(text, 3);
}
BEGIN
{
	this->t = (struct all *)alloca(sizeof (struct all));
	this->t->a = 1;
	this->t->b[0] = 't'; this->t->b[1] = 1; this->t->b[3] = 'x';
	this->t->u.d = 333; this->t->s.e = (void *)0x1000; this->t->g = 1; this->t->h = SECOND;
	this->t->small[1] = -7; this->t->row[1].y = 3; this->t->bits = 5; this->t->negative = -2;
	*(long *)&this->t->real = 0x4002000000000000;
	print(this->t);
	print(&this->t->row[1]);
	print(&this->t->a);
	exit(0);
}
