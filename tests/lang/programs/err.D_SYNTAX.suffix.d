/*
 * ASSERTION: A constant is unsigned once.
 * SECTION: Lexical structure
 */
BEGIN { trace(1uu); }
