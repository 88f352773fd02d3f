/*
 * ASSERTION: Floating-point constants are no part of D.
 * SECTION: Lexical structure
 */
BEGIN { x = 1.5; }
