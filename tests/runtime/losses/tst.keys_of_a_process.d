/*
 * ASSERTION: So are those of the traced process, wherever its clauses run.
 * SECTION: Losses
 * @@flags: -q -x aggsize=320
 * @@trigger: calls_forever 11
 * @@mask: drop-cpu
 */
pid$target:a.out:work:entry
{
	@[arg0 % 20] = count();
	@calls = count();
}
