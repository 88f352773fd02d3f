/*
 * ASSERTION: A bit-field is recorded as an integer of as many bytes as it needs.
 * SECTION: Types/Structures
 * @@mask: cpu-id
 */
struct flags { int low : 3; unsigned int more : 9; } flags;
struct wide { int seventeen : 17; } wide;
struct widest { unsigned long thirtythree : 33; } widest;

BEGIN
{
	flags.low = -1;
	flags.more = 300;
	wide.seventeen = -5;
	widest.thirtythree = 7;
	trace(flags.low);
	trace(flags.more);
	trace(wide.seventeen);
	trace(widest.thirtythree);
	printf("|%d %x %x %x", flags.low, flags.low, flags.more, wide.seventeen);
	@[flags.low, flags.more, wide.seventeen, widest.thirtythree] = count();
	exit(0);
}
