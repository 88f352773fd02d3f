/*
 * ASSERTION: inet_ntoa() writes an IPv4 address as it lies in memory; a bad pointer is a fault.
 * SECTION: Subroutines/inet_ntoa()
 * @@flags: -q
 * @@mask: bpf-pc
 */
ipaddr_t *none;

BEGIN
{
	p = (ipaddr_t *)alloca(4);
	*p = htonl(0xc0a80117);
	printf("%s\n", inet_ntoa(p));
	*p = htonl(0x00090a64);
	printf("%s\n", inet_ntoa(p));
	*p = htonl(0xffffffff);
	printf("%s\n", strjoin(inet_ntoa(p), ":80"));
}

BEGIN
{
	trace(inet_ntoa(none));
}

BEGIN
{
	exit(0);
}
