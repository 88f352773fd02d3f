/*
 * ASSERTION: Threads share associative arrays without a loss of what ++ counts, whatever is stored and deleted beside.
 * SECTION: Variables/Associative arrays
 * @@flags: -q -x strsize=33
 * @@trigger: eight_threads 50
 */
struct call { int n; uint64_t when; string what; };
struct call open[int, string];
string last[uint64_t, int];
int64_t total[string, string];

pid$target:eight_threads:work:entry
{
	total[probefunc, arg0 % 2 ? "odd" : "even"]++;
	open[arg0, probemod].n = arg1 + 1;
	open[arg0, probemod].what = probefunc;
	self->seen[arg1 % 3] = arg1;
	last[arg1, arg0] = probename;
}
pid$target:eight_threads:work:entry
/open[arg0, probemod].n == arg1 + 1 && open[arg0, "eight_threads"].what == "work"/
{
	@ok = count();
	last[arg1, arg0] = 0;
	open[arg0, probemod].n = 0;
}
pid$target:eight_threads:work:entry
/self->seen[arg1 % 3] == arg1 && last[arg1, arg0] == NULL/
{
	@good = count();
}
END
{
	printf("%s %d %d %d\n", open[3, "eight_threads"].what, sizeof (struct call), total["work", "odd"], total["work", "even"]);
}
