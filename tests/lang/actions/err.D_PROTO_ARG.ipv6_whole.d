/*
 * ASSERTION: Whether inet_ntoa6() writes an address whole is known when the program is compiled.
 * SECTION: Subroutines/inet_ntoa6
 */
BEGIN { x = 1; inet_ntoa6((struct in6_addr *)alloca(16), x); }
