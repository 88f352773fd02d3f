/*
 * ASSERTION: An address is a pointer, or 0.
 * SECTION: Subroutines/inet_ntop()
 */
BEGIN
{
	trace(inet_ntop(AF_INET, 5));
}
