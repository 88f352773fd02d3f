/*
 * ASSERTION: A format ends at its first zero.
 * SECTION: Formats
 */
BEGIN { printf("\0 %d", 1); }
