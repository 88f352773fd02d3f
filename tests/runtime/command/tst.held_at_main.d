/*
 * ASSERTION: Probes are placed when the command is at its main(), by default: what was called before is not seen.
 * SECTION: Options
 * @@flags: -q
 * @@trigger: constructed
 */
pid$target:a.out:mark:entry
{
	printf("%d\n", arg0);
}

pid$target:a.out:main:entry,
pid$target:a.out:_start:entry
{
	printf("%s\n", probefunc);
}
