/*
 * ASSERTION: copyinstr() copies a string of the traced process, up to its end or to the size given.
 * SECTION: Actions/copyinstr
 * @@flags: -q
 * @@trigger: calls
 */
pid$target:calls:text:entry
{
	printf("[%s] [%s] %d\n", copyinstr(arg0), copyinstr(arg0, 3), strlen(copyinstr(arg0)));
}
