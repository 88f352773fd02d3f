/*
 * ASSERTION: A width is an integer.
 * SECTION: printf
 */
BEGIN { printf("%*d", "x", 1); }
