/*
 * ASSERTION: A structure of zeros is an empty text, as one of a text and zeros is a text.
 * SECTION: Actions/trace
 * @@mask: cpu-id
 */
struct pair { int numbers[2]; char name[4]; } pair, named, numbered;

BEGIN
{
	named.numbers[0] = 0x6968;
	numbered.numbers[1] = 1;
	trace(pair);
	trace(named);
	trace(numbered);
	exit(0);
}
