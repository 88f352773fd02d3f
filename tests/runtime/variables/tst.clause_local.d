/*
 * ASSERTION: A clause-local variable lives from clause to clause of one firing.
 * SECTION: Variables/Clause-local
 * @@flags: -q
 * @@trigger: calls 2
 */
this int sum;

pid$target:calls:add:entry
{
	this->sum = arg0 + arg1;
}

pid$target:calls:add:entry
/this->sum > 0/
{
	printf("%s:%s %d\n", probemod, probefunc, this->sum);
}
