/*
 * ASSERTION: IPv6 addresses leave the longest run of zeros out, the first of equal ones; those that stand for an IPv4
 * address end in it, and for inet_ntoa6() are it.
 * SECTION: Subroutines/inet_ntop()
 * @@flags: -q
 * @@timeout: 60
 */
struct in6_addr;

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x0;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x100000000000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x100;
	this->p[1] = 0x0;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x80fe;
	this->p[1] = 0x100000000000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x200000000000100;
	this->p[1] = 0x300000000000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x100;
	this->p[1] = 0x300000000000200;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x10000000000;
	this->p[1] = 0x1000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x400030002000100;
	this->p[1] = 0x800070006000500;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x300020000000100;
	this->p[1] = 0x700060005000400;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x300020001000000;
	this->p[1] = 0x700060005000400;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x400030002000100;
	this->p[1] = 0x70006000500;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x4030201ffff0000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x403020100000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x40302010000ffff;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x9bff6400;
	this->p[1] = 0x403020100000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0xb80d0120;
	this->p[1] = 0x100000000000100;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x8967452301efcdab;
	this->p[1] = 0x8967452301efcdab;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x2000100;
	this->p[1] = 0x500;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x400000000000100;
	this->p[1] = 0x800070000000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x10000000000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	this->p = (uint64_t *)alloca(16);
	this->p[0] = 0x0;
	this->p[1] = 0x31464ffffff0000;
	printf("%s | %s\n", inet_ntop(AF_INET6, this->p), inet_ntoa6((struct in6_addr *)this->p));
}

BEGIN
{
	exit(0);
}
