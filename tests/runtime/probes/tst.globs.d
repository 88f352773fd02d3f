/*
 * ASSERTION: Globs in the function field match by the whole name; a.out is the main program.
 * SECTION: Probe descriptions/Globs
 * @@flags: -q
 * @@trigger: calls 1
 */
pid$target:a.out:[an]??:entry,
pid$target:calls:e*t:entry
{
	printf("%s %s\n", probemod, probefunc);
}
