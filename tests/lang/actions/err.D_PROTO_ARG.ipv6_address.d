/*
 * ASSERTION: inet_ntoa6() takes an IPv6 address.
 * SECTION: Subroutines/inet_ntoa6
 */
BEGIN { p = (int *)alloca(16); trace(inet_ntoa6(p)); }
