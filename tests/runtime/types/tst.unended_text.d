/*
 * ASSERTION: trace() shows bytes that are all text as text; without a zero behind it, in a column even if quiet.
 * SECTION: Actions/trace()
 * @@flags: -q
 */
char full[3];
char ended[6];
struct { int8_t letter; } one;
struct { int number; } four;

BEGIN
{
	full[0] = 'a';
	full[1] = 'B';
	full[2] = 'c';
	one.letter = 0x34;
	four.number = 0x34353637;
	ended[0] = 'z';
	trace(ended);
	trace("|");
	trace(full);
	trace("|");
	trace(one);
	trace("|");
	trace(four);
	four.number = 0x3400;
	trace(four);
	exit(0);
}
