/*
 * ASSERTION: Constants: \x takes all digits that follow, characters are not signed, right shifts of constants shift
 *	zeros in, an inline is its expression, and errors and signals have names.
 *
 * SECTION: Constants
 *
 * @@flags: -q
 */
inline char wide = 300;
BEGIN
{
	printf("%s %s %d %d\n", "\x414243", "\1234", '\377', '\xfff');
	x = -7;
	printf("%d %d %d %d %d\n", -7 >> 1, -7 >> 63, -1L >> 1, x >> 1, x >> 63);
	printf("%d %d %d %d %d\n", wide, ENOENT, EWOULDBLOCK, SIGCLD, SIGPOLL);
	exit(0);
}
