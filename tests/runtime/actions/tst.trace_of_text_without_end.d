/*
 * ASSERTION: Characters of an array are a text also if no zero follows, in a column even in quiet mode.
 * SECTION: Actions/trace
 */
#pragma D option quiet
char full[9], lines[4];
struct one { char letter; } one;

BEGIN
{
	full[0] = full[3] = full[6] = 'a';
	full[1] = full[4] = full[7] = 'B';
	full[2] = full[5] = full[8] = ' ';
	lines[0] = 'x';
	lines[1] = lines[3] = '\n';
	lines[2] = 'y';
	one.letter = 'z';
	trace(full);
	trace(lines);
	trace(one);
	@[full] = count();
	exit(0);
}
