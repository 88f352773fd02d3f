/*
 * ASSERTION: Comments are not nested.
 * SECTION: Lexical structure
 */
BEGIN { /* a /* b */ }
