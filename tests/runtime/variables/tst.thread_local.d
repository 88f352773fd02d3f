/*
 * ASSERTION: A thread-local variable has a value of its own in each thread and starts at 0.
 * SECTION: Variables/Thread-local
 * @@flags: -q
 * @@trigger: eight_threads 50
 */
self int seen;

pid$target:eight_threads:work:entry
/self->seen == arg1/
{
	self->seen++;
	@in_order[arg0] = count();
}

pid$target:eight_threads:work:entry
/self->seen != arg1 + 1/
{
	@out_of_order = count();
}

END
{
	printa("%d %@d\n", @in_order);
	printa("out of order %@d\n", @out_of_order);
}
