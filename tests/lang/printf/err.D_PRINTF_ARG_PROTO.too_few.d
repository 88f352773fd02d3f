/*
 * ASSERTION: Each conversion has a value.
 * SECTION: printf
 */
BEGIN { printf("%d %d", 1); }
