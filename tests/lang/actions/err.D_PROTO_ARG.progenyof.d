/*
 * ASSERTION: progenyof() takes a number of a process.
 * SECTION: Subroutines/progenyof()
 */
BEGIN
{
	trace(progenyof("a"));
}
