/*
 * ASSERTION: With rawbytes trace() shows the bytes of every value.
 * SECTION: Actions/trace()
 * @@flags: -q -x rawbytes -x strsize=8
 */
BEGIN
{
	trace("hi");
	trace((char)-1);
	trace((short)2);
	trace(5);
	trace(-3LL);
	exit(0);
}
