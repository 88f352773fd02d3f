/*
 * ASSERTION: getmajor() and getminor() take a number of the kernel's apart, as wide as dev_t.
 * SECTION: Subroutines/getmajor
 * @@flags: -q
 */
BEGIN
{
	printf("%d %d\n", getmajor(0xabcdef0123456789), getminor(0xabcdef0123456789));
	x = 0x800001;
	printf("%d %d %d\n", getmajor(x), getminor(x), sizeof (getmajor(x)));
	exit(0);
}
