/*
 * ASSERTION: raise() sends the thread that fires a signal, which it takes before it goes on.
 * SECTION: Actions/raise
 * @@flags: -wq
 * @@trigger: changed
 */
pid$target:changed:step:entry
/arg1 > 1/
{
	raise(SIGUSR1);
	@ = count();
}
