/*
 * ASSERTION: What is copied whole may lie anywhere in a small structure of the clause.
 * SECTION: Values/Structures
 * @@flags: -q -x strsize=8
 */
struct small { char c; char text[9]; string s; };
this struct small a;
BEGIN
{
	this->a.text[0] = 'h';
	this->a.text[1] = 'i';
	this->a.s = "words";
	printf("%d %s %s\n", sizeof (struct small), this->a.text, this->a.s);
	exit(0);
}
