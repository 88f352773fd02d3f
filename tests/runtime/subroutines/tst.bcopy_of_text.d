/*
 * ASSERTION: bcopy() copies from a string as well, no more than its bytes.
 * SECTION: Subroutines/bcopy()
 * @@flags: -q -x strsize=16
 * @@mask: bpf-pc
 */
BEGIN
{
	this->p = (char *)alloca(40);
	bcopy("hello", this->p, 6);
	printf("%s\n", stringof(this->p));
	s = "words";
	bcopy(s, this->p + 1, 4);
	printf("%s\n", stringof(this->p));
}
BEGIN
{
	bcopy("hello", alloca(40), 40);
}
BEGIN
{
	exit(0);
}
