/*
 * ASSERTION: A string ends on its line.
 * SECTION: Lexical structure
 */
BEGIN { trace("abc
"); }
