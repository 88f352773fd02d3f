/*
 * ASSERTION: %@ is for printa().
 * SECTION: printf
 */
BEGIN { printf("%@d", 1); }
