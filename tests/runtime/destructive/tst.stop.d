/*
 * ASSERTION: stop() stops the process, which goes on when somebody lets it.
 * SECTION: Actions/stop
 * @@flags: -wq
 * @@trigger: changed
 */
pid$target:changed:step:entry
/arg1 > 2/
{
	stop();
	system("echo stopped at %d; kill -CONT %d", arg1, pid);
}
