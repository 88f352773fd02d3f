/*
 * ASSERTION: An element that finds no room ends its clause, and is reported as a drop.
 * SECTION: Losses
 * @@flags: -q -x dynvarsize=400
 * @@trigger: eight_threads 50
 */
pid$target:eight_threads:work:entry
{
	a[arg0, arg1] = 1;
	@calls = count();
}
END
{
	printf("%d\n", a[100, 100]);
}
