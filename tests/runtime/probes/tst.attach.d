/*
 * ASSERTION: A process that runs already is traced from where it is, and tracing ends when it ends.
 * SECTION: Command line/-p
 * @@flags: -q
 * @@trigger: calls 5
 * @@attach: p
 */
BEGIN
{
	printf("armed\n");
}

pid$target:calls:add:entry
{
	@ = count();
}

END
{
	printa("%@d calls\n", @);
}
