/*
 * ASSERTION: exit() ends the tracing with its argument as exit status, and END still runs.
 * SECTION: Actions/exit
 * @@flags: -q
 * @@trigger: calls
 * @@status: 4
 */
pid$target:calls:add:entry
{
	printf("first add\n");
	exit(4);
}

END
{
	printf("end\n");
}
