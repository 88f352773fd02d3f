/*
 * ASSERTION: %d prints an integer.
 * SECTION: printf
 */
BEGIN { printf("%d", "x"); }
