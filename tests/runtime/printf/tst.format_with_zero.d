/*
 * ASSERTION: A format ends at its first zero.
 * SECTION: Formats
 *
 * @@flags: -q
 */
BEGIN { printf("a\0b %d\n"); printf("\n"); exit(0); }
