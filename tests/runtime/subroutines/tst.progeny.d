/*
 * ASSERTION: progenyof() is true of the process itself and of its ancestors, of dtrap in BEGIN.
 * SECTION: Subroutines/progenyof()
 * @@flags: -q
 * @@trigger: calls 1
 */
BEGIN
{
	printf("%d %d %d %d\n", progenyof($pid), progenyof($ppid), progenyof($target), progenyof(0));
}

pid$target:a.out:add:entry
/progenyof($target)/
{
	printf("%d %d %d %d %d", progenyof($target), progenyof($pid), progenyof($ppid), progenyof(0), progenyof(-1));
	parent = ppid == $pid;
}

END
{
	printf(" %d", parent);
}
