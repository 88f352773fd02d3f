/*
 * ASSERTION: printa() reads the keys behind an aggregation's name, and prints all of it.
 * SECTION: Actions/printa
 *
 * @@flags: -q
 */
BEGIN
{
	@["x"] = sum(4);
	@["y"] = sum(5);
	printa(@["x"]);
	printa("%s %@d\n", @[1]);
	exit(0);
}
