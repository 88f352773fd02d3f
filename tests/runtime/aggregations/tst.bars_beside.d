/*
 * ASSERTION: With agghist every count, sum, avg and stddev has a bar beside it, in proportion to the aggregation's
 * others; other functions, several aggregations in one printa(), and formats are as they are.
 * SECTION: Aggregations/Bars and lines
 * @@flags: -q -x agghist
 */
BEGIN
{
	@["debt"] = sum(-10);
	@["bread"] = sum(10);
	@["a very long name of a thing"] = sum(20);
	@positive["one"] = sum(1);
	@positive["five"] = sum(5);
	@positive["six"] = sum(6);
	@negative["half"] = sum(-5);
	@negative["score"] = sum(-20);
	@negative["hundred"] = sum(-100);
	@keys[1, (short)2, (char)3, 4LL] = count();
	@bare = avg(9);
	@nothing[0] = sum(0);
	@least["min"] = min(3);
	printa(@);
	printa(@positive);
	printa(@negative);
	printf("\nzoomed:");
	setopt("aggzoom");
	printa(@);
	printa(@positive);
	printa(@negative);
	setopt("aggzoom", "no");
	printf("\nas they are:");
	printa(@, @positive);
	printa("%s %@d\n", @positive);
	normalize(@positive, 2);
	printa(@positive);
	exit(0);
}
