/*
 * ASSERTION: With evaltime=preinit what a command's initialisers and its entry point call is seen as well.
 * SECTION: Options
 * @@flags: -q -x evaltime=preinit
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
