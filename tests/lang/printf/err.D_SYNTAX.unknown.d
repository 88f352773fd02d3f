/*
 * ASSERTION: Conversions are those of the language reference.
 * SECTION: printf
 */
BEGIN { printf("%q", 1); }
