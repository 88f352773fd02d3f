/*
 * ASSERTION: print() ends what is no structure with a comma.
 * SECTION: Actions/print()
 * @@flags: -q
 */
enum colour { RED = 1, BLUE };

BEGIN
{
	this->n = (int *)alloca(4);
	*this->n = 5;
	print(this->n);
	this->e = (enum colour *)alloca(4);
	*this->e = BLUE;
	print(this->e);
	this->c = (char *)alloca(1);
	*this->c = 'x';
	print(this->c);
	exit(0);
}
