/*
 * ASSERTION: The family decides how an address is written, the kind of a device how long its address is; memory that is
 * not there and other kinds are faults.
 * SECTION: Subroutines/inet_ntop()
 * @@flags: -q
 * @@mask: bpf-pc
 */
BEGIN
{
	this->p = (uint8_t *)alloca(20);
	this->p[0] = 10;
	this->p[5] = 255;
	this->p[19] = 0xab;
	printf("%s\n", link_ntop(ARPHRD_ETHER, this->p));
	printf("%s\n", link_ntop(ARPHRD_INFINIBAND, this->p));
	family = 2;
	printf("%s\n", inet_ntop(family, this->p));
	family = 10;
	printf("%s\n", inet_ntop(family, this->p));
	family = 7;
	printf("%s\n", inet_ntop(family, this->p));
	printf("%s\n", inet_ntop(AF_INET, alloca(4)));
}
BEGIN
{
	trace(inet_ntop(AF_INET6, alloca(4)));
}
BEGIN
{
	trace(inet_ntop(AF_INET, NULL));
}
BEGIN
{
	trace(inet_ntoa6(NULL));
}
BEGIN
{
	trace(link_ntop(ARPHRD_ETHER, NULL));
}
BEGIN
{
	trace(link_ntop(7, alloca(20)));
}
ERROR
{
	printf("clause %d: fault %d, 0x%x\n", arg2, arg4, arg5);
}
tick-1ms
{
	exit(0);
}
