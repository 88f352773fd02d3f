/*
 * ASSERTION: Each value has a conversion.
 * SECTION: printf
 */
BEGIN { printf("%d", 1, 2); }
