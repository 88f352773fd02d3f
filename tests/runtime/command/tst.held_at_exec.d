/*
 * ASSERTION: With evaltime=exec the command has no libraries yet, and nothing of it has run.
 * SECTION: Options
 * @@flags: -q -Z -x evaltime=exec
 * @@trigger: constructed
 */
pid$target:a.out:mark:entry
{
	printf("%d\n", arg0);
}
