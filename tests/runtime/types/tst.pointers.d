/*
 * ASSERTION: Pointers into copied and allocated memory count in elements, lead to members, and nowhere else.
 * SECTION: Values/Pointers
 * @@flags: -q
 * @@trigger: calls
 * @@mask: bpf-pc
 */
struct pair { short a; short b; };
struct holder { struct pair pairs[3]; struct pair *first; };

BEGIN
{
	this->p = (int *)alloca(40);
	this->p[3] = 5;
	this->r = this->p + 3;
	printf("%d %d %d\n", *this->r, this->r - this->p, this->r > this->p);
	*this->r += 2;
	printf("%d %d %d\n", this->p[3]--, *(this->p + 3), *this->p);
	this->z = (char *)alloca(8);
	bcopy(this->p + 3, this->z, 4);
	printf("%d %d\n", *this->z, *(this->z + 1));
	printf("%d\n", (this->q = this->p) == this->p && this->q++ != this->q);
	this->h = (struct holder *)alloca(sizeof (struct holder));
	this->h->first = &this->h->pairs[1];
	this->h->first->b = -2;
	this->h->first[1].a = 9;
	this->i = 2;
	printf("%d %d %d\n", this->h->pairs[1].b, this->h->pairs[this->i].a, this->h->pairs[0].a);
	this->copy = *this->h;
	printf("%d\n", this->copy.pairs[1].b);
	this->p = 0;
	printf("%d\n", this->p == NULL);
}
BEGIN
{
	printf("%d\n", *this->p);
}
BEGIN
{
	this->p = (int *)alloca(8);
	trace(this->p[4]);
}
BEGIN
{
	this->buffer = alloca(4000);
	alloca(200);
	trace("not printed");
}
pid$target:calls:text:entry
/strlen(copyinstr(arg0)) > 3/
{
	this->z = (char *)alloca(8);
	copyinto(arg0, 3, this->z + 1);
	this->z[0] = '<';
	printf("%s %s %d\n", stringof(this->z), (string)copyin(arg0, 2), stringof(copyin(arg0, 3)) == stringof(this->z + 1));
}
