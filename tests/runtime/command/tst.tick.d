/*
 * ASSERTION: A tick probe fires again and again until exit().
 * SECTION: Providers/tick
 * @@flags: -q
 */
int n;

tick-10ms
{
	n++;
}

tick-10ms
/n == 3/
{
	printf("%d %s\n", n, probename);
	exit(0);
}
