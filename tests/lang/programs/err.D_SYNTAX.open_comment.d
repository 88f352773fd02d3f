/*
 * ASSERTION: A comment ends.
 * SECTION: Lexical structure
 */
BEGIN { /* a }
