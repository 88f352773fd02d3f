/*
 * ASSERTION: With evaltime=main probes are placed when the command is at its main(): what was called before is not seen.
 * SECTION: Options
 * @@flags: -q -x evaltime=main
 * @@trigger: constructed
 */
pid$target:a.out:mark:entry
{
	printf("%d\n", arg0);
}
