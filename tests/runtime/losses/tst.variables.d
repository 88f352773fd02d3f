/*
 * ASSERTION: A variable that finds no room ends its clause, which records nothing; the next one runs.
 * SECTION: Losses
 * @@flags: -q -x dynvarsize=1100 -x strsize=512
 */
BEGIN
{
	printf("before\n");
	a["x"] = 1;
	a["y"] = 1;
	a["z"]++;
	printf("after\n");
}

BEGIN
/a["z"] = 1/
{
	printf("a predicate that finds no room does not hold\n");
}

BEGIN
{
	printf("x %d, y %d, z %d\n", a["x"], a["y"], a["z"]);
	exit(0);
}
