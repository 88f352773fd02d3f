/*
 * ASSERTION: Bytes are put in the order of the network and back; rand() gives numbers that are not negative.
 * SECTION: Subroutines
 * @@flags: -q
 */
BEGIN
{
	printf("%x %x %x\n", htons(0x12345678), htonl(0x12345678), htonll(0x0102030405060708));
	printf("%x %x %x\n", ntohs(0x3412), ntohl(0x78563412), ntohll(0x0807060504030201));
	a = rand();
	b = rand();
	printf("%d %d %d\n", a >= 0, b >= 0, a != b || rand() != a);
	zero = 0;
	trace(lltostr(5, zero));
}

ERROR
{
	exit(arg4 == DTRACEFLT_ILLOP ? 0 : 1);
}
