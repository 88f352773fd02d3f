/*
 * ASSERTION: A string in a structure lies where an array of characters would.
 * SECTION: Values/Structures
 * @@flags: -q -x strsize=16
 */
struct inside { char c; string s; int i; string t; char d; string u; };
struct inside global, other;
struct inside element[int];
self struct inside own;
this struct inside here;
BEGIN
{
	printf("%d %d %d %d %d\n", sizeof (struct inside), offsetof(struct inside, s), offsetof(struct inside, i),
	    offsetof(struct inside, t), offsetof(struct inside, u));
	global.c = 'x';
	global.s = "odd place";
	global.t = strjoin(global.s, "s");
	global.i = 7;
	other = global;
	element[1] = other;
	element[1].u = "third";
	element[1].d = 'y';
	self->own = element[1];
	this->here = self->own;
	this->here.t = "changed";
	printf("%c %s %d %s %d %s|\n", global.c, global.s, global.i, global.t, global.d, global.u);
	printf("%c %s %d %s %d %s|\n", self->own.c, self->own.s, self->own.i, self->own.t, self->own.d, self->own.u);
	printf("%d %d %s %s\n", this->here.s == "odd place", this->here.s < "odd", this->here.t, this->here.u);
	printf("%d %s\n", strlen(this->here.u), substr(self->own.t, 4, 5));
	p = (struct inside *)alloca(sizeof (struct inside));
	p->u = global.s;
	p->s = "at 1";
	printf("%s %s\n", p->u, p->s);
	exit(0);
}
