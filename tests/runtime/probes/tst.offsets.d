/*
 * ASSERTION: An offset fires before its instruction; at one address the entry comes first and the return last.
 * SECTION: Probes/Instructions
 * @@flags: -q
 * @@trigger: returns
 */
pid$target:a.out:either:4
{
	printf("%s %s %d\n", probefunc, probename, arg0);
}
pid$target:a.out:only_ret:
{
	printf("%s %s\n", probefunc, probename);
}
pid$target:a.out:passed_on:[3-9]
{
	printf("%s %s\n", probefunc, probename);
}
