/*
 * ASSERTION: struct in_addr and struct in6_addr are known; inet_ntoa6() writes an address whole where it is told to.
 * SECTION: Subroutines/inet_ntoa6
 * @@flags: -q
 */
BEGIN
{
	printf("%d %d\n", sizeof (struct in_addr), sizeof (struct in6_addr));
	this->p = (struct in6_addr *)alloca(sizeof (struct in6_addr));
	this->p->in6_u.u6_addr32[3] = htonl(0x7f000001);
	printf("%s %s %s\n", inet_ntoa6(this->p), inet_ntoa6(this->p, 0), inet_ntoa6(this->p, 42));
	this->p->in6_u.u6_addr16[0] = htons(0xfe80);
	this->p->in6_u.u6_addr8[8] = 2;
	printf("%s %s\n", inet_ntoa6(this->p), inet_ntoa6(this->p, 1));
	this->q = (struct in_addr *)alloca(sizeof (struct in_addr));
	this->q->s_addr = htonl(0x0a000001);
	printf("%s\n", inet_ntoa((ipaddr_t *)this->q));
	exit(0);
}
