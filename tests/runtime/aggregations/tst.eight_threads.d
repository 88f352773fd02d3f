/*
 * ASSERTION: Calls of eight threads at once are all counted, none twice.
 * SECTION: Aggregations/count
 * @@flags: -q
 * @@trigger: eight_threads 2000
 * @@timeout: 60
 */
pid$target:eight_threads:work:entry
{
	@calls = count();
	@by_thread[arg0] = count();
	@sum = sum(arg1);
}

END
{
	printa("%@d\n", @calls);
	printa("%d %@d\n", @by_thread);
	printa("%@d\n", @sum);
}
