/*
 * ASSERTION: %s prints a string.
 * SECTION: printf
 */
BEGIN { printf("%s", 5); }
